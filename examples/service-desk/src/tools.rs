//! The tools by name: who may call them, what they take, and the function behind each.
//!
//! Names, parameters and order of the desks' own tools are published; descriptions are ours.

use crate::arguments::{Arguments, Parameter, Shape};
use crate::calculate::calculate;
use crate::error::Refusal;
use crate::tables::Tables;
use crate::{airline, front, operator, retail};

/// Which desk a database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Orders, users and products.
    Retail,
    /// Reservations, users and flights.
    Airline,
}

impl Domain {
    /// Returns the word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retail => "retail",
            Self::Airline => "airline",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Retail, Self::Airline]
            .into_iter()
            .find(|domain| domain.name() == name)
    }
}

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing.
    Read,
    /// It changes records.
    Write,
}

/// A tool of a desk.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// Whether it changes anything.
    pub deed: Deed,
    /// Whether only operators have it.
    pub operator: bool,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) run: fn(&mut Tables<'_>, Arguments<'_>) -> Result<String, Refusal>,
}

/// Returns the tools of a desk: its own, then those of operators.
pub(crate) fn of(domain: Domain) -> impl Iterator<Item = &'static Tool> {
    let own: &[&[Tool]] = match domain {
        Domain::Retail => &[RETAIL, FRONT, SHARED],
        Domain::Airline => &[AIRLINE, SHARED],
    };
    own.iter().copied().flatten().chain(OPERATOR)
}

const fn read(
    name: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
    run: fn(&mut Tables<'_>, Arguments<'_>) -> Result<String, Refusal>,
) -> Tool {
    Tool {
        name,
        about,
        deed: Deed::Read,
        operator: false,
        parameters,
        run,
    }
}

const fn write(
    name: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
    run: fn(&mut Tables<'_>, Arguments<'_>) -> Result<String, Refusal>,
) -> Tool {
    Tool {
        deed: Deed::Write,
        ..read(name, about, parameters, run)
    }
}

const fn operators(tool: Tool) -> Tool {
    Tool {
        operator: true,
        ..tool
    }
}

const fn p(name: &'static str, shape: Shape, about: &'static str) -> Parameter {
    Parameter { name, about, shape }
}

const ORDER: Parameter = p("order_id", Shape::Text, "The order, as `#W0000000`.");
const USER: Parameter = p("user_id", Shape::Text, "The user, as `sara_doe_496`.");
const ITEMS: Parameter = p(
    "item_ids",
    Shape::Texts,
    "Items of the order, one entry each.",
);
const NEW_ITEMS: Parameter = p(
    "new_item_ids",
    Shape::Texts,
    "What takes their place, in the same order and of the same product.",
);
const METHOD: Parameter = p(
    "payment_method_id",
    Shape::Text,
    "A payment method of the user.",
);
const ADDRESS1: Parameter = p("address1", Shape::Text, "First line of the address.");
const ADDRESS2: Parameter = p("address2", Shape::Text, "Second line of the address.");
const CITY: Parameter = p("city", Shape::Text, "The city.");
const STATE: Parameter = p("state", Shape::Text, "The state, as two letters.");
const COUNTRY: Parameter = p("country", Shape::Text, "The country.");
const ZIP: Parameter = p("zip", Shape::Text, "The postal code.");

const RETAIL: &[Tool] = &[
    write(
        "cancel_pending_order",
        "Cancels a pending order and refunds what was paid.",
        &[
            ORDER,
            p(
                "reason",
                Shape::Choice(&["no longer needed", "ordered by mistake"]),
                "Why.",
            ),
        ],
        retail::cancel_pending_order,
    ),
    write(
        "exchange_delivered_order_items",
        "Exchanges items of a delivered order for others of the same products.",
        &[ORDER, ITEMS, NEW_ITEMS, METHOD],
        retail::exchange_delivered_order_items,
    ),
    read(
        "find_user_id_by_email",
        "Finds a user by electronic mail address.",
        &[p("email", Shape::Text, "The address.")],
        retail::find_user_id_by_email,
    ),
    read(
        "find_user_id_by_name_zip",
        "Finds a user by name and postal code.",
        &[
            p("first_name", Shape::Text, "The first name."),
            p("last_name", Shape::Text, "The last name."),
            ZIP,
        ],
        retail::find_user_id_by_name_zip,
    ),
    read(
        "get_order_details",
        "Returns an order.",
        &[ORDER],
        retail::get_order_details,
    ),
    read(
        "get_product_details",
        "Returns a product with its variants.",
        &[p("product_id", Shape::Text, "The product.")],
        retail::get_product_details,
    ),
    read(
        "get_user_details",
        "Returns a user with addresses, payment methods and orders.",
        &[USER],
        retail::get_user_details,
    ),
    read(
        "list_all_product_types",
        "Returns the id of each product by its name.",
        &[],
        retail::list_all_product_types,
    ),
    write(
        "modify_pending_order_address",
        "Sends a pending order to another address.",
        &[ORDER, ADDRESS1, ADDRESS2, CITY, STATE, COUNTRY, ZIP],
        retail::modify_pending_order_address,
    ),
    write(
        "modify_pending_order_items",
        "Exchanges items of a pending order, once.",
        &[ORDER, ITEMS, NEW_ITEMS, METHOD],
        retail::modify_pending_order_items,
    ),
    write(
        "modify_pending_order_payment",
        "Has a pending order paid in another way.",
        &[ORDER, METHOD],
        retail::modify_pending_order_payment,
    ),
    write(
        "modify_user_address",
        "Changes a user's default address.",
        &[USER, ADDRESS1, ADDRESS2, CITY, STATE, COUNTRY, ZIP],
        retail::modify_user_address,
    ),
    write(
        "return_delivered_order_items",
        "Has items of a delivered order returned.",
        &[ORDER, ITEMS, METHOD],
        retail::return_delivered_order_items,
    ),
];

const RESERVATION: Parameter = p(
    "reservation_id",
    Shape::Text,
    "The reservation, as `ZFA04Y`.",
);
const ORIGIN: Parameter = p("origin", Shape::Text, "Airport of departure, as `SFO`.");
const DESTINATION: Parameter = p("destination", Shape::Text, "Airport of arrival, as `JFK`.");
const DATE: Parameter = p("date", Shape::Text, "The day, as `2024-05-20`.");
const CABIN: Parameter = p(
    "cabin",
    Shape::Choice(&["basic_economy", "economy", "business"]),
    "The cabin, the same on all flights.",
);
const FLIGHTS: Parameter = p(
    "flights",
    Shape::Rows(&[
        p("flight_number", Shape::Text, "The flight, as `HAT001`."),
        DATE,
    ]),
    "All flights of the reservation.",
);
const PASSENGERS: Parameter = p(
    "passengers",
    Shape::Rows(&[
        p("first_name", Shape::Text, "The first name."),
        p("last_name", Shape::Text, "The last name."),
        p("dob", Shape::Text, "The date of birth."),
    ]),
    "Who flies.",
);
const BAGS: Parameter = p("total_baggages", Shape::Count, "Checked bags.");
const PAID_BAGS: Parameter = p(
    "nonfree_baggages",
    Shape::Count,
    "Checked bags that are paid for.",
);
const PAYMENT: Parameter = p("payment_id", Shape::Text, "A payment method of the user.");
const AMOUNT: Parameter = p("amount", Shape::Number, "How much.");

const AIRLINE: &[Tool] = &[
    write(
        "book_reservation",
        "Books flights.",
        &[
            USER,
            ORIGIN,
            DESTINATION,
            p(
                "flight_type",
                Shape::Choice(&["one_way", "round_trip"]),
                "There only, or there and back.",
            ),
            CABIN,
            FLIGHTS,
            PASSENGERS,
            p(
                "payment_methods",
                Shape::Rows(&[PAYMENT, AMOUNT]),
                "How it is paid: the amounts add up to the price.",
            ),
            BAGS,
            PAID_BAGS,
            p(
                "insurance",
                Shape::Choice(&["yes", "no"]),
                "Whether it is insured.",
            ),
        ],
        airline::book_reservation,
    ),
    write(
        "cancel_reservation",
        "Cancels a reservation and refunds what was paid.",
        &[RESERVATION],
        airline::cancel_reservation,
    ),
    read(
        "get_reservation_details",
        "Returns a reservation.",
        &[RESERVATION],
        airline::get_reservation_details,
    ),
    read(
        "get_user_details",
        "Returns a user with payment methods and reservations.",
        &[USER],
        airline::get_user_details,
    ),
    read(
        "list_all_airports",
        "Returns the city of each airport.",
        &[],
        airline::list_all_airports,
    ),
    read(
        "search_direct_flight",
        "Finds flights between two airports on a day.",
        &[ORIGIN, DESTINATION, DATE],
        airline::search_direct_flight,
    ),
    read(
        "search_onestop_flight",
        "Finds pairs of flights between two airports on a day.",
        &[ORIGIN, DESTINATION, DATE],
        airline::search_onestop_flight,
    ),
    write(
        "send_certificate",
        "Gives a user a certificate to pay with.",
        &[USER, AMOUNT],
        airline::send_certificate,
    ),
    write(
        "update_reservation_baggages",
        "Changes the checked bags of a reservation.",
        &[RESERVATION, BAGS, PAID_BAGS, PAYMENT],
        airline::update_reservation_baggages,
    ),
    write(
        "update_reservation_flights",
        "Changes the flights of a reservation; all are named, also those that stay.",
        &[RESERVATION, CABIN, FLIGHTS, PAYMENT],
        airline::update_reservation_flights,
    ),
    write(
        "update_reservation_passengers",
        "Changes who flies, not how many.",
        &[RESERVATION, PASSENGERS],
        airline::update_reservation_passengers,
    ),
];

const FRONT: &[Tool] = &[
    write(
        "book_pickup",
        "Books a courier for an order's parcel, once per order.",
        &[ORDER, p("task", Shape::Text, "What the courier is to do.")],
        front::book_pickup,
    ),
    write(
        "message_customer",
        "Sends a message to a customer. It cannot be called back.",
        &[USER, p("text", Shape::Text, "What it says.")],
        front::message_customer,
    ),
];

const SHARED: &[Tool] = &[
    read(
        "calculate",
        "Calculates to two decimals.",
        &[p(
            "expression",
            Shape::Text,
            "Numbers, operators `+`, `-`, `*`, `/`, brackets and spaces.",
        )],
        |_, args| calculate(args.text("expression")?),
    ),
    read(
        "think",
        "Takes a thought and does nothing.",
        &[p("thought", Shape::Text, "The thought.")],
        |_, _| Ok(String::new()),
    ),
    read(
        "transfer_to_human_agents",
        "Hands the customer over to a person.",
        &[p("summary", Shape::Text, "What it is about.")],
        |_, _| Ok("Transfer successful".to_owned()),
    ),
];

const TABLE: Parameter = p("table", Shape::Text, "The table, as `orders`.");
const ID: Parameter = p("id", Shape::Text, "The record's id.");
const VERSION: Parameter = p(
    "version",
    Shape::Count,
    "The version that was read: if the record has another by now, nothing is done.",
);

const OPERATOR: &[Tool] = &[
    operators(read(
        "read_record",
        "Returns any record with its version; `body` is null if it does not exist.",
        &[TABLE, ID],
        operator::read_record,
    )),
    operators(write(
        "restore_record",
        "Puts fields of a record back, and creates it where it is missing.",
        &[
            TABLE,
            ID,
            p(
                "fields",
                Shape::Object,
                "Values by field, or by JSON pointer; null takes a field away, and the empty \
                 pointer is the whole record.",
            ),
            VERSION,
        ],
        operator::restore_record,
    )),
    operators(write(
        "delete_record",
        "Deletes a record.",
        &[TABLE, ID, VERSION],
        operator::delete_record,
    )),
];
