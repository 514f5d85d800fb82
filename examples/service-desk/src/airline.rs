//! The airline desk: reservations, users and flights. What each tool asks and does is published;
//! the code is ours.

use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::error::Refusal;
use crate::number::Amount;
use crate::record::{add_to_balance, amount, list, list_mut, method, object_mut, text};
use crate::tables::Tables;

pub(crate) const RESERVATIONS: &str = "reservations";
pub(crate) const USERS: &str = "users";
pub(crate) const FLIGHTS: &str = "flights";

/// The airports, with the cities that they serve.
const AIRPORTS: [(&str, &str); 20] = [
    ("ATL", "Atlanta"),
    ("BOS", "Boston"),
    ("CLT", "Charlotte"),
    ("DEN", "Denver"),
    ("DFW", "Dallas"),
    ("DTW", "Detroit"),
    ("EWR", "Newark"),
    ("IAH", "Houston"),
    ("JFK", "New York"),
    ("LAS", "Las Vegas"),
    ("LAX", "Los Angeles"),
    ("LGA", "LaGuardia"),
    ("MCO", "Orlando"),
    ("MIA", "Miami"),
    ("MSP", "Minneapolis"),
    ("ORD", "Chicago"),
    ("PHL", "Philadelphia"),
    ("PHX", "Phoenix"),
    ("SEA", "Seattle"),
    ("SFO", "San Francisco"),
];

/// What a checked bag beyond the free ones costs.
const BAG: Amount = Amount::Whole(50);
/// What insuring one passenger costs.
const INSURANCE: Amount = Amount::Whole(30);
/// When a booking says that it was made: the desk has no clock.
const BOOKED_AT: &str = "2024-05-15T15:00:00";

type Said = Result<String, Refusal>;

pub(crate) fn get_user_details(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let user = tables.get(USERS, args.text("user_id")?, "user not found")?;
    Ok(user.to_string())
}

pub(crate) fn get_reservation_details(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    // The published desk says `user` here, and its callers know it so.
    let id = args.text("reservation_id")?;
    Ok(tables.get(RESERVATIONS, id, "user not found")?.to_string())
}

pub(crate) fn list_all_airports(_: &mut Tables<'_>, _: Arguments<'_>) -> Said {
    let named = |(code, city): (&str, &str)| (code.to_owned(), Value::from(city));
    let airports: Map<String, Value> = AIRPORTS.into_iter().map(named).collect();
    Ok(Value::from(airports).to_string())
}

pub(crate) fn search_direct_flight(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (origin, destination) = (args.text("origin")?, args.text("destination")?);
    let date = args.text("date")?;
    let mut found = Vec::new();
    for (_, flight) in tables.all(FLIGHTS)? {
        if flight["origin"] == origin && flight["destination"] == destination {
            found.extend(on(&flight, date));
        }
    }
    Ok(Value::from(found).to_string())
}

pub(crate) fn search_onestop_flight(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (origin, destination) = (args.text("origin")?, args.text("destination")?);
    let date = args.text("date")?;
    let flights = tables.all(FLIGHTS)?;
    let mut found = Vec::new();
    for (_, first) in flights.iter().filter(|(_, f)| f["origin"] == origin) {
        let arrival = text(first, "scheduled_arrival_time_est")?;
        let second_date = if arrival.contains("+1") {
            next_day(date)?
        } else {
            date.to_owned()
        };
        for (_, second) in &flights {
            if second["destination"] != destination || second["origin"] != first["destination"] {
                continue;
            }
            if arrival > text(second, "scheduled_departure_time_est")? {
                continue;
            }
            if let (Some(mut one), Some(mut two)) = (on(first, date), on(second, &second_date)) {
                one["date"] = date.into();
                two["date"] = second_date.clone().into();
                found.push(json!([one, two]));
            }
        }
    }
    Ok(Value::from(found).to_string())
}

pub(crate) fn book_reservation(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let user_id = args.text("user_id")?;
    let mut user = tables.get(USERS, user_id, "user not found")?;
    let mut id = "HATHAT";
    for next in ["HATHAU", "HATHAV"] {
        if tables.find(RESERVATIONS, id)?.is_none() {
            break;
        }
        id = next;
    }
    let passengers = args.rows("passengers")?;
    let cabin = args.text("cabin")?;
    let mut flights = args.rows("flights")?.to_vec();
    let mut total = Amount::ZERO;
    for flight in &mut flights {
        let price = seat(tables, flight, cabin, passengers.len())?;
        total = total.plus(price.times(passengers.len()));
    }
    if args.text("insurance")? == "yes" {
        total = total.plus(INSURANCE.times(passengers.len()));
    }
    let nonfree = args.count("nonfree_baggages")?;
    total = total.plus(BAG.times(usize::try_from(nonfree).unwrap_or(usize::MAX)));
    let payments = args.rows("payment_methods")?;
    pay(&mut user, payments, total)?;
    list_mut(&mut user, "reservations")?.push(id.into());
    let reservation = json!({
        "reservation_id": id,
        "user_id": user_id,
        "origin": args.value("origin")?,
        "destination": args.value("destination")?,
        "flight_type": args.value("flight_type")?,
        "cabin": cabin,
        "flights": flights,
        "passengers": passengers,
        "payment_history": payments,
        "created_at": BOOKED_AT,
        "total_baggages": args.value("total_baggages")?,
        "nonfree_baggages": nonfree,
        "insurance": args.value("insurance")?,
    });
    tables.put(USERS, user_id, user);
    keep(tables, id, reservation)
}

/// Takes what a booking costs from the ways of paying, if they cover it to the cent.
fn pay(user: &mut Value, payments: &[Value], total: Amount) -> Result<(), Refusal> {
    let mut paid = Amount::ZERO;
    for payment in payments {
        let id = text(payment, "payment_id")?;
        let share = amount(payment, "amount")?;
        let method = user["payment_methods"].get(id);
        let method =
            method.ok_or_else(|| Refusal::said(format!("payment method {id} not found")))?;
        let limited = method["source"] == "gift_card" || method["source"] == "certificate";
        if limited && amount(method, "amount")?.float() < share.float() {
            return Err(Refusal::said(format!(
                "not enough balance in payment method {id}"
            )));
        }
        paid = paid.plus(share);
    }
    if paid.float() != total.float() {
        return Err(Refusal::said(format!(
            "payment amount does not add up, total price is {total}, but paid {paid}"
        )));
    }
    for payment in payments {
        let id = text(payment, "payment_id")?;
        let source = &user["payment_methods"][id]["source"];
        if source == "gift_card" {
            let share = amount(payment, "amount")?.negative();
            add_to_balance(user, id, "amount", share, false)?;
        } else if source == "certificate" {
            object_mut(user, "payment_methods")?.remove(id);
        }
    }
    Ok(())
}

pub(crate) fn cancel_reservation(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut reservation) = reservation(tables, args)?;
    let mut refunds = Vec::new();
    for payment in list(&reservation, "payment_history")? {
        let back = amount(payment, "amount")?.negative();
        refunds.push(json!({"payment_id": text(payment, "payment_id")?, "amount": back.json()}));
    }
    list_mut(&mut reservation, "payment_history")?.extend(refunds);
    reservation["status"] = "cancelled".into();
    keep(tables, id, reservation)
}

pub(crate) fn update_reservation_flights(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut reservation) = reservation(tables, args)?;
    let cabin = args.text("cabin")?;
    let passengers = list(&reservation, "passengers")?.len();
    let old = list(&reservation, "flights")?;
    let mut flights = args.rows("flights")?.to_vec();
    let mut total = Amount::ZERO;
    for flight in &mut flights {
        let kept = old.iter().find(|kept| {
            kept["flight_number"] == flight["flight_number"]
                && kept["date"] == flight["date"]
                && reservation["cabin"] == cabin
        });
        let price = match kept {
            Some(kept) => {
                for field in ["price", "origin", "destination"] {
                    flight[field] = kept[field].clone();
                }
                amount(kept, "price")?
            }
            None => seat(tables, flight, cabin, passengers)?,
        };
        total = total.plus(price.times(passengers));
    }
    let mut before = Amount::ZERO;
    for flight in old {
        before = before.plus(amount(flight, "price")?);
    }
    let difference = total.minus(before.times(passengers));
    charge(
        tables,
        &mut reservation,
        args.text("payment_id")?,
        difference,
    )?;
    reservation["flights"] = flights.into();
    keep(tables, id, reservation)
}

pub(crate) fn update_reservation_passengers(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut reservation) = reservation(tables, args)?;
    let passengers = args.rows("passengers")?;
    if passengers.len() != list(&reservation, "passengers")?.len() {
        return Err(Refusal::said("number of passengers does not match"));
    }
    reservation["passengers"] = passengers.into();
    keep(tables, id, reservation)
}

pub(crate) fn update_reservation_baggages(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let (id, mut reservation) = reservation(tables, args)?;
    let total = args.count("total_baggages")?;
    let nonfree = args.count("nonfree_baggages")?;
    let had = reservation["nonfree_baggages"].as_u64().unwrap_or(0);
    let more = usize::try_from(nonfree.saturating_sub(had)).unwrap_or(usize::MAX);
    charge(
        tables,
        &mut reservation,
        args.text("payment_id")?,
        BAG.times(more),
    )?;
    reservation["total_baggages"] = total.into();
    reservation["nonfree_baggages"] = nonfree.into();
    keep(tables, id, reservation)
}

pub(crate) fn send_certificate(tables: &mut Tables<'_>, args: Arguments<'_>) -> Said {
    let user_id = args.text("user_id")?;
    let mut user = tables.get(USERS, user_id, "user not found")?;
    let worth = args.amount("amount")?;
    for number in 3_221_322..3_221_325 {
        let id = format!("certificate_{number}");
        let methods = object_mut(&mut user, "payment_methods")?;
        if methods.contains_key(&id) {
            continue;
        }
        let certificate = json!({"source": "certificate", "amount": worth.json(), "id": id});
        methods.insert(id.clone(), certificate);
        tables.put(USERS, user_id, user);
        return Ok(format!(
            "Certificate {id} added to user {user_id} with amount {worth}."
        ));
    }
    Ok(String::new())
}

fn reservation<'a>(tables: &Tables<'_>, args: Arguments<'a>) -> Result<(&'a str, Value), Refusal> {
    let id = args.text("reservation_id")?;
    let reservation = tables.get(RESERVATIONS, id, "reservation not found")?;
    Ok((id, reservation))
}

fn keep(tables: &mut Tables<'_>, id: &str, reservation: Value) -> Said {
    let said = reservation.to_string();
    tables.put(RESERVATIONS, id, reservation);
    Ok(said)
}

/// Charges the difference that a change makes; a gift card also gets back what is negative.
fn charge(
    tables: &mut Tables<'_>,
    reservation: &mut Value,
    payment_id: &str,
    difference: Amount,
) -> Result<(), Refusal> {
    let user_id = text(reservation, "user_id")?.to_owned();
    let mut user = tables.get(USERS, &user_id, "user not found")?;
    let pays = method(&user, payment_id)?;
    if pays["source"] == "certificate" {
        return Err(Refusal::said(
            "certificate cannot be used to update reservation",
        ));
    }
    if pays["source"] == "gift_card" {
        if amount(pays, "amount")?.float() < difference.float() {
            return Err(Refusal::said("gift card balance is not enough"));
        }
        add_to_balance(
            &mut user,
            payment_id,
            "amount",
            difference.negative(),
            false,
        )?;
        tables.put(USERS, &user_id, user);
    }
    if !difference.is_zero() {
        let payment = json!({"payment_id": payment_id, "amount": difference.json()});
        list_mut(reservation, "payment_history")?.push(payment);
    }
    Ok(())
}

/// Finds seats on a flight that a call names, and fills in its price, origin and destination.
fn seat(
    tables: &Tables<'_>,
    flight: &mut Value,
    cabin: &str,
    passengers: usize,
) -> Result<Amount, Refusal> {
    let number = text(flight, "flight_number")?.to_owned();
    let date = text(flight, "date")?.to_owned();
    let known = tables.get(FLIGHTS, &number, &format!("flight {number} not found"))?;
    let Some(day) = known["dates"].get(&date) else {
        return Err(Refusal::said(format!(
            "flight {number} not found on date {date}"
        )));
    };
    if day["status"] != "available" {
        return Err(Refusal::said(format!(
            "flight {number} not available on date {date}"
        )));
    }
    let seats = day["available_seats"][cabin].as_u64().unwrap_or(0);
    if usize::try_from(seats).is_ok_and(|seats| seats < passengers) {
        return Err(Refusal::said(format!(
            "not enough seats on flight {number}"
        )));
    }
    let price = amount(&day["prices"], cabin)?;
    flight["price"] = price.json();
    flight["origin"] = known["origin"].clone();
    flight["destination"] = known["destination"].clone();
    Ok(price)
}

/// Returns a flight as it flies on a date, if it can be booked then.
fn on(flight: &Value, date: &str) -> Option<Value> {
    let day = flight["dates"].get(date)?.as_object()?;
    if day.get("status")? != "available" {
        return None;
    }
    let mut flight = flight.clone();
    let fields = flight.as_object_mut()?;
    fields.remove("dates");
    fields.extend(day.clone());
    Some(flight)
}

/// Returns the day after a date of the month that the desk knows.
fn next_day(date: &str) -> Result<String, Refusal> {
    let day = date.get(date.len().saturating_sub(2)..);
    let day: u32 = day
        .and_then(|day| day.parse().ok())
        .ok_or_else(|| Refusal::said("argument `date` is not a date"))?;
    Ok(format!("2024-05-{}", day + 1))
}
