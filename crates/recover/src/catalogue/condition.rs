//! Conditions: expressions in CEL over a call, its result and the images before it.
//!
//! Compiled when the catalogue is read; a variable or a function that does not exist is refused
//! there. Whole numbers are `int`, others `double`; beside the standard functions there is
//! `sum(list)`. An expression that cannot be computed, because a field is not there, gives an
//! error, and whoever asks decides what that means.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr};
use cel::extractors::Arguments;
use cel::objects::{Key, Map};
use cel::{Context, Env, ExecutionError, IdedExpr, Program};
use serde_json::Value;

use super::near;

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Functions that an expression may call. Those that macros and operators are made of begin with
/// another sign than a letter.
const FUNCTIONS: [&str; 13] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "size",
    "startsWith",
    "string",
    "sum",
    "type",
    "uint",
];

/// A compiled expression.
#[derive(Clone)]
pub(crate) struct Condition {
    text: String,
    program: Arc<Program>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.text)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What an expression uses: variables with the member that is asked of each first, and functions.
#[derive(Debug, Default)]
struct Used {
    variables: BTreeMap<String, Vec<Option<String>>>,
    functions: Vec<String>,
}

impl Condition {
    /// Compiles an expression that may use `variables`, and of `before` the members `aliases`,
    /// where these are known.
    pub(crate) fn compile(
        text: &str,
        variables: &[&str],
        aliases: Option<&[&str]>,
    ) -> Result<Self, Vec<(String, String)>> {
        let program = Program::compile(text).map_err(|errors| {
            let said: Vec<&str> = errors.errors.iter().map(|e| e.msg.as_str()).collect();
            let what = format!("this is not an expression in CEL: {}", said.join("; "));
            let hint = format!(
                "write a condition such as `args.amount > 0`, over {}",
                near::listed(variables.iter().copied())
            );
            vec![(what, hint)]
        })?;
        let mut wrong = Vec::new();
        let mut used = Used::default();
        walk(program.expression(), &mut Vec::new(), &mut used);
        for (name, members) in &used.variables {
            if !variables.contains(&name.as_str()) {
                let what = format!("there is no variable `{name}`");
                wrong.push((what, near::hint(name, variables.iter().copied())));
            }
            let Some(aliases) = aliases.filter(|_| name == "before") else {
                continue;
            };
            for member in members.iter().flatten() {
                if !aliases.contains(&member.as_str()) {
                    let what =
                        format!("`before.{member}` cannot exist: the tool names no such record");
                    wrong.push((what, near::hint(member, aliases.iter().copied())));
                }
            }
        }
        for name in &used.functions {
            if !FUNCTIONS.contains(&name.as_str()) {
                let what = format!("there is no function `{name}`");
                wrong.push((what, near::hint(name, FUNCTIONS)));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            text: text.to_owned(),
            program: Arc::new(program),
        })
    }

    /// The expression as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Tells whether the condition holds.
    pub(crate) fn holds(&self, variables: &[(&str, &Value)]) -> Result<bool, String> {
        match self.run(variables)? {
            cel::Value::Bool(holds) => Ok(holds),
            other => Err(format!(
                "`{}` gives {other:?}, not true or false",
                self.text
            )),
        }
    }

    pub(super) fn run(&self, variables: &[(&str, &Value)]) -> Result<cel::Value, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        let added = context.add_function("sum", sum);
        debug_assert!(added.is_ok(), "the standard library has no `sum`");
        for (name, value) in variables {
            context.add_variable_from_value(*name, converted(value));
        }
        let ran = self.program.execute(&context);
        ran.map_err(|error| format!("`{}`: {error}", self.text))
    }
}

/// Adds numbers up; an empty list is 0.
fn sum(Arguments(given): Arguments) -> Result<cel::Value, ExecutionError> {
    let wrong = || ExecutionError::function_error("sum", "takes one list of numbers");
    let [cel::Value::List(list)] = given.as_slice() else {
        return Err(wrong());
    };
    let mut total = 0.0;
    for value in list.iter() {
        total += match value {
            #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
            cel::Value::Int(number) => *number as f64,
            cel::Value::Float(number) => *number,
            _ => return Err(wrong()),
        };
    }
    Ok(cel::Value::Float(total))
}

fn converted(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(on) => cel::Value::Bool(*on),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => cel::Value::Int(whole),
            None => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::from(text.as_str()),
        Value::Array(list) => {
            let list: Vec<cel::Value> = list.iter().map(converted).collect();
            cel::Value::List(Arc::new(list))
        }
        Value::Object(members) => {
            let members: HashMap<Key, cel::Value> = members
                .iter()
                .map(|(name, value)| (Key::from(name.as_str()), converted(value)))
                .collect();
            cel::Value::Map(Map {
                map: Arc::new(members),
            })
        }
    }
}

/// Finds the free variables and the functions of an expression.
fn walk(at: &IdedExpr, bound: &mut Vec<String>, used: &mut Used) {
    match &at.expr {
        Expr::Unspecified | Expr::Literal(_) => {}
        Expr::Ident(name) => variable(name, None, bound, used),
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(name) => variable(name, Some(&select.field), bound, used),
            _ => walk(&select.operand, bound, used),
        },
        Expr::Call(call) => {
            if call
                .func_name
                .starts_with(|c: char| c.is_ascii_alphabetic())
            {
                used.functions.push(call.func_name.clone());
            }
            for inner in call.target.as_deref().into_iter().chain(&call.args) {
                walk(inner, bound, used);
            }
        }
        Expr::Comprehension(made) => {
            walk(&made.iter_range, bound, used);
            walk(&made.accu_init, bound, used);
            let outer = bound.len();
            bound.push(made.iter_var.clone());
            bound.extend(made.iter_var2.clone());
            bound.push(made.accu_var.clone());
            for inner in [&made.loop_cond, &made.loop_step, &made.result] {
                walk(inner, bound, used);
            }
            bound.truncate(outer);
        }
        Expr::List(list) => list.elements.iter().for_each(|e| walk(e, bound, used)),
        Expr::Map(map) => map.entries.iter().for_each(|e| entry(&e.expr, bound, used)),
        Expr::Struct(made) => made
            .entries
            .iter()
            .for_each(|e| entry(&e.expr, bound, used)),
    }
}

fn entry(at: &EntryExpr, bound: &mut Vec<String>, used: &mut Used) {
    match at {
        EntryExpr::StructField(field) => walk(&field.value, bound, used),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key, bound, used);
            walk(&entry.value, bound, used);
        }
    }
}

fn variable(name: &str, member: Option<&str>, bound: &[String], used: &mut Used) {
    // What macros expand to has names of its own that begin with `@`.
    if !name.starts_with('@') && !bound.iter().any(|b| b == name) {
        let members = used.variables.entry(name.to_owned()).or_default();
        members.push(member.map(str::to_owned));
    }
}
