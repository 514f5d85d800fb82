//! A desk: one database, and the tools that its domain has.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::arguments::{Arguments, Parameter, Shape, schema};
use crate::database::{Database, Record, Work};
use crate::error::{DeskError, Refusal};
use crate::tables::{Change, Tables};
use crate::tools::{self, Deed, Domain, Tool};

/// The fact that says which desk a database holds.
const DOMAIN: &str = "domain";

/// The argument that carries an idempotency key, where the desk takes them.
const KEY: Parameter = Parameter {
    name: "idempotency_key",
    about: "A call with a key that was used before does nothing and is answered as then.",
    shape: Shape::Text,
};

/// What calls may do beyond the published tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rights {
    /// Calls may use the operators' tools. Default: false.
    pub operator: bool,
    /// Writes take an idempotency key. Default: false.
    pub keys: bool,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the tool says: a record, or a refusal that begins with `Error: `.
    pub said: Result<String, String>,
    /// What it changed, in the order of table and id; empty when it refused, and when its
    /// idempotency key was used before.
    pub changes: Vec<Change>,
}

/// An open desk.
#[derive(Debug)]
pub struct Desk {
    database: Database,
}

impl Desk {
    /// Opens the database at `path`, and creates it, empty, where it is missing.
    ///
    /// # Errors
    ///
    /// The file is no database of a desk, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, DeskError> {
        Database::open(path).map(|database| Self { database })
    }

    /// Opens an empty desk that is gone with the process.
    ///
    /// # Errors
    ///
    /// SQLite has no memory for it.
    pub fn in_memory() -> Result<Self, DeskError> {
        Database::in_memory().map(|database| Self { database })
    }

    /// Fills the desk with `orders.json`, `users.json` and `products.json` of a folder.
    ///
    /// # Errors
    ///
    /// A file is missing or is no object of records, or the desk is filled already.
    pub fn load_retail(&mut self, folder: &Path) -> Result<(), DeskError> {
        self.load(Domain::Retail, folder, &["orders", "users", "products"])
    }

    /// Fills the desk with `reservations.json`, `users.json` and `flights.json` of a folder.
    ///
    /// # Errors
    ///
    /// As for [`Self::load_retail`].
    pub fn load_airline(&mut self, folder: &Path) -> Result<(), DeskError> {
        let tables = ["reservations", "users", "flights"];
        self.load(Domain::Airline, folder, &tables)
    }

    /// Fills the desk with the small shop that is built in.
    ///
    /// # Errors
    ///
    /// The desk is filled already.
    pub fn seed(&mut self) -> Result<(), DeskError> {
        let work = empty(&mut self.database)?;
        for (table, text) in crate::seed::TABLES {
            let records: Records<'_> =
                serde_json::from_str(text).map_err(|source| DeskError::Form {
                    place: format!("seed/{table}.json"),
                    source,
                })?;
            put_all(&work, table, &records)?;
        }
        work.set_fact(DOMAIN, Domain::Retail.name())?;
        work.commit()
    }

    fn load(&mut self, domain: Domain, folder: &Path, tables: &[&str]) -> Result<(), DeskError> {
        let work = empty(&mut self.database)?;
        for table in tables {
            let path = folder.join(format!("{table}.json"));
            let text = std::fs::read_to_string(&path).map_err(|source| DeskError::Read {
                path: path.clone(),
                source,
            })?;
            let records: Records<'_> =
                serde_json::from_str(&text).map_err(|source| DeskError::Form {
                    place: path.display().to_string(),
                    source,
                })?;
            put_all(&work, table, &records)?;
        }
        work.set_fact(DOMAIN, domain.name())?;
        work.commit()
    }

    /// Returns which desk this is, or `None` while it is empty.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub fn domain(&mut self) -> Result<Option<Domain>, DeskError> {
        let work = self.database.begin(false)?;
        domain(&work)
    }

    /// Returns the tools that calls with these rights have.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub fn tools(&mut self, rights: Rights) -> Result<Vec<&'static Tool>, DeskError> {
        let domain = self.domain()?;
        let tools = domain.into_iter().flat_map(tools::of);
        Ok(tools
            .filter(|tool| rights.operator || !tool.operator)
            .collect())
    }

    /// Calls a tool: what it says, and what it changed, in one transaction.
    ///
    /// # Errors
    ///
    /// The database fails; a refusal of the tool is an answer.
    pub fn perform(
        &mut self,
        name: &str,
        arguments: &Map<String, Value>,
        rights: Rights,
    ) -> Result<Answer, DeskError> {
        let found = self.tools(rights)?.into_iter().find(|t| t.name == name);
        let Some(tool) = found else {
            return Ok(Answer {
                said: Err(format!("Error: unknown tool `{name}`")),
                changes: Vec::new(),
            });
        };
        match self.run(tool, arguments, rights) {
            Ok(answer) => Ok(answer),
            Err(Refusal::Said(text)) => Ok(Answer {
                said: Err(format!("Error: {text}")),
                changes: Vec::new(),
            }),
            Err(Refusal::Broken(error)) => Err(error),
        }
    }

    /// Calls a tool for what it says: [`Self::perform`], with a failure of the desk told like a
    /// refusal.
    ///
    /// # Errors
    ///
    /// The text of the refusal.
    pub fn call(
        &mut self,
        name: &str,
        arguments: &Map<String, Value>,
        operator: bool,
    ) -> Result<String, String> {
        let rights = Rights {
            operator,
            keys: false,
        };
        match self.perform(name, arguments, rights) {
            Ok(answer) => answer.said,
            Err(error) => Err(format!("Error: {error}")),
        }
    }

    fn run(
        &mut self,
        tool: &Tool,
        arguments: &Map<String, Value>,
        rights: Rights,
    ) -> Result<Answer, Refusal> {
        let writes = tool.deed == Deed::Write;
        let mut arguments = arguments.clone();
        let key = if rights.keys && writes {
            arguments.remove(KEY.name)
        } else {
            None
        };
        let key = match key {
            Some(Value::String(key)) => Some(key),
            Some(_) => return Err(Refusal::said("argument `idempotency_key` is not a string")),
            None => None,
        };
        let call = format!("{} {}", tool.name, Value::from(arguments.clone()));
        let work = self.database.begin(writes)?;
        if let Some((first, answer)) = key
            .as_ref()
            .map(|k| work.answered(k))
            .transpose()?
            .flatten()
        {
            if first != call {
                return Err(Refusal::said(
                    "this idempotency key was used for another call",
                ));
            }
            return Ok(Answer {
                said: Ok(answer),
                changes: Vec::new(),
            });
        }
        let mut tables = Tables::new(&work);
        let said = (tool.run)(&mut tables, Arguments::check(&arguments, tool.parameters)?)?;
        let changes = tables.write()?;
        if let Some(key) = key {
            work.answer(&key, &call, &said)?;
        }
        work.commit()?;
        Ok(Answer {
            said: Ok(said),
            changes,
        })
    }

    /// Returns a record with its version.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub fn record(&mut self, table: &str, id: &str) -> Result<Record, DeskError> {
        self.database.begin(false)?.record(table, id)
    }

    /// Returns all that the desk holds, by table and id: two desks are in the same state if these
    /// are equal.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub fn state(&mut self) -> Result<BTreeMap<String, BTreeMap<String, Value>>, DeskError> {
        let work = self.database.begin(false)?;
        let mut state = BTreeMap::new();
        for table in work.tables()? {
            let records = work.table(&table)?.into_iter().collect();
            state.insert(table, records);
        }
        Ok(state)
    }
}

impl Tool {
    /// Returns the JSON schema of the tool's arguments.
    #[must_use]
    pub fn schema(&self, rights: Rights) -> Map<String, Value> {
        let keyed = rights.keys && self.deed == Deed::Write;
        schema(self.parameters, if keyed { &[KEY] } else { &[] })
    }
}

/// Begins to fill a desk, which must be empty.
fn empty(database: &mut Database) -> Result<Work<'_>, DeskError> {
    let work = database.begin(true)?;
    match domain(&work)? {
        None => Ok(work),
        Some(domain) => Err(DeskError::Filled {
            held: domain.name(),
        }),
    }
}

fn domain(work: &Work<'_>) -> Result<Option<Domain>, DeskError> {
    let name = work.fact(DOMAIN)?;
    Ok(name.as_deref().and_then(Domain::named))
}

fn put_all(work: &Work<'_>, table: &str, records: &Records<'_>) -> Result<(), DeskError> {
    for (id, body) in &records.0 {
        work.put(table, id, Some(body.get()))?;
    }
    Ok(())
}

/// An object of records in the order of the file, which searches answer in.
struct Records<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Records<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Records<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of records")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut records = Vec::new();
                while let Some(record) = map.next_entry()? {
                    records.push(record);
                }
                Ok(Records(records))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
