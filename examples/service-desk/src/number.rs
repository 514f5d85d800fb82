//! Arithmetic on JSON numbers as the published desks do it: whole numbers stay whole, everything
//! else is a double, and cents are rounded half to even on the exact value.

use serde_json::{Number, Value};

/// An amount of money, or a difference of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// Written without a decimal point.
    Whole(i64),
    /// Written with one.
    Exact(f64),
}

impl Amount {
    pub(crate) const ZERO: Self = Self::Whole(0);

    /// Reads a number; anything else is `None`.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let number = value.as_number()?;
        number
            .as_i64()
            .map(Self::Whole)
            .or_else(|| number.as_f64().map(Self::Exact))
    }

    pub(crate) fn float(self) -> f64 {
        match self {
            #[expect(
                clippy::cast_precision_loss,
                reason = "amounts lie far below two to the power of 53"
            )]
            Self::Whole(whole) => whole as f64,
            Self::Exact(exact) => exact,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Self::Whole(a.saturating_add(b)),
            _ => Self::Exact(self.float() + other.float()),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(other.negative())
    }

    pub(crate) fn times(self, count: usize) -> Self {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        match self {
            Self::Whole(whole) => Self::Whole(whole.saturating_mul(count)),
            Self::Exact(exact) => Self::Exact(exact * Self::Whole(count).float()),
        }
    }

    pub(crate) fn negative(self) -> Self {
        match self {
            Self::Whole(whole) => Self::Whole(whole.saturating_neg()),
            Self::Exact(exact) => Self::Exact(-exact),
        }
    }

    pub(crate) fn absolute(self) -> Self {
        if self.float() < 0.0 {
            self.negative()
        } else {
            self
        }
    }

    /// Returns the amount in whole cents.
    pub(crate) fn cents(self) -> Self {
        match self {
            Self::Whole(_) => self,
            // Printing rounds the exact value of the double; multiplying by 100 would not.
            Self::Exact(exact) => Self::Exact(format!("{exact:.2}").parse().unwrap_or(exact)),
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.float() == 0.0
    }

    pub(crate) fn json(self) -> Value {
        match self {
            Self::Whole(whole) => whole.into(),
            Self::Exact(exact) => Number::from_f64(exact).map_or(Value::Null, Value::Number),
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(whole) => write!(f, "{whole}"),
            // The point stays: `685.0`.
            Self::Exact(exact) => write!(f, "{exact:?}"),
        }
    }
}
