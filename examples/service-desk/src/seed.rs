//! The small shop that is built in: three customers, their orders, and what can be bought.

/// Each table with its records, as the files of a published desk lie.
pub(crate) const TABLES: [(&str, &str); 3] = [
    ("orders", include_str!("../seed/orders.json")),
    ("users", include_str!("../seed/users.json")),
    ("products", include_str!("../seed/products.json")),
];
