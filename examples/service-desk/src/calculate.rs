//! The calculator that both desks offer: `+ - * / // **` and brackets, to two decimals.

use crate::error::Refusal;
use crate::number::Amount;

/// How deep brackets and signs may nest.
const DEPTH_MAX: usize = 64;

/// Returns the value of `expression`, rounded, as text.
pub(crate) fn calculate(expression: &str) -> Result<String, Refusal> {
    if !expression
        .bytes()
        .all(|b| b"0123456789+-*/(). ".contains(&b))
    {
        return Err(Refusal::said("invalid characters in expression"));
    }
    let mut reader = Reader {
        rest: expression.as_bytes(),
        depth: 0,
    };
    let value = reader.sum().filter(|_| reader.peek().is_none());
    match value {
        Some(value) if value.is_finite() => Ok(Amount::Exact(value).cents().to_string()),
        Some(_) => Err(Refusal::said("division by zero")),
        None => Err(Refusal::said("invalid syntax")),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    /// Takes `operator` if it comes next and is not the beginning of a longer one.
    fn take(&mut self, operator: &[u8]) -> bool {
        self.peek();
        let doubled = operator.len() == 1
            && b"*/".contains(&operator[0])
            && self.rest.get(1) == Some(&operator[0]);
        match self.rest.strip_prefix(operator) {
            Some(rest) if !doubled => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            if self.take(b"+") {
                value += self.product()?;
            } else if self.take(b"-") {
                value -= self.product()?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.sign()?;
        loop {
            if self.take(b"*") {
                value *= self.sign()?;
            } else if self.take(b"//") {
                value = (value / self.sign()?).floor();
            } else if self.take(b"/") {
                value /= self.sign()?;
            } else {
                return Some(value);
            }
        }
    }

    fn sign(&mut self) -> Option<f64> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let value = if self.take(b"-") {
            self.sign().map(|value| -value)
        } else if self.take(b"+") {
            self.sign()
        } else {
            self.power()
        };
        self.depth -= 1;
        value
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.single()?;
        if self.take(b"**") {
            return Some(base.powf(self.sign()?));
        }
        Some(base)
    }

    fn single(&mut self) -> Option<f64> {
        if self.take(b"(") {
            let value = self.sum()?;
            return self.take(b")").then_some(value);
        }
        self.peek();
        let digits = |b: &u8| !(b.is_ascii_digit() || *b == b'.');
        let end = self.rest.iter().position(digits).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        std::str::from_utf8(number).ok()?.parse().ok()
    }
}
