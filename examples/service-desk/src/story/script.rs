//! Who the agents are, what customers write, and what the model says.

use serde_json::Value;

use super::agent::{Agent, Happened, StoryError};

/// What an agent is there for.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// Its system prompt.
    pub prompt: &'static str,
    /// The tools that it uses.
    pub tools: &'static [&'static str],
}

/// The agents, in the order in which a ticket passes them.
pub static AGENTS: [Role; 3] = [
    Role {
        name: "intake",
        prompt: "You are intake. Find out who writes and what they want, and say it in one \
                 sentence to the orders desk, with every number that it needs.",
        tools: &[
            "find_user_id_by_email",
            "get_user_details",
            "get_order_details",
        ],
    },
    Role {
        name: "orders",
        prompt: "You are orders. Change the records as intake asks, and say to the courier what \
                 is to be moved and whom to tell.",
        tools: &[
            "cancel_pending_order",
            "modify_pending_order_address",
            "modify_user_address",
        ],
    },
    Role {
        name: "courier",
        prompt: "You are courier. Move parcels as orders asks, and tell the customer.",
        tools: &["book_pickup", "message_customer"],
    },
];

/// Something that a customer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The matter that it belongs to; a second letter in a matter continues its conversation.
    pub matter: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// The text.
    pub text: &'static str,
    /// Whether it is handled rightly.
    pub right: bool,
}

/// The tickets, in the order in which they come: a right one, the one that goes wrong, a right one
/// for the same customer, and, once the wrong one is taken back, its second letter.
pub const TICKETS: [Ticket; 4] = [
    Ticket {
        matter: "T-101",
        title: "Mara Lind wants her parcel sent to her office",
        text: "Ticket T-101 from mara.lind@example.com: Please send my espresso machine to my \
               office at 300 Pine Street, Portland, OR 97204 instead of my home.",
        right: true,
    },
    Ticket {
        matter: "T-102",
        title: "Jonas Weber ordered a desk lamp by mistake",
        text: "Ticket T-102 from jonas.weber@example.com: I ordered the desk lamp by mistake. \
               Please cancel that order and leave everything else as it is.",
        right: false,
    },
    Ticket {
        matter: "T-103",
        title: "Jonas Weber has moved",
        text: "Ticket T-103 from jonas.weber@example.com: I have moved. My address is now \
               9 Quarry Road, Troy, NY 12180.",
        right: true,
    },
    Ticket {
        matter: "T-102",
        title: "Jonas Weber writes again about his lamp",
        text: "Ticket T-102 again from jonas.weber@example.com: It was the desk lamp that I did \
               not want. Please look at my request again.",
        right: true,
    },
];

/// Returns the ticket at a place of [`TICKETS`].
#[must_use]
pub fn ticket(at: usize) -> Ticket {
    TICKETS[at % TICKETS.len()]
}

/// Passes a ticket through the agents: each hears what the one before it said.
///
/// # Errors
///
/// A call failed.
pub async fn work(
    agents: &mut [Agent],
    ticket: Ticket,
    watch: &mut impl FnMut(Happened),
) -> Result<(), StoryError> {
    let mut text = ticket.text.to_owned();
    for agent in agents {
        text = agent.hear(ticket.matter, &text, watch).await?;
        if !text.contains(HANDED_ON) {
            break;
        }
    }
    Ok(())
}

/// What an agent says to the next one; a turn that ends without it needs nobody else.
const HANDED_ON: &str = ", please ";

/// What the model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Say(&'static str),
    /// Tools with their arguments.
    Call(&'static [(&'static str, &'static str)]),
}

/// A line of the script.
struct Line {
    agent: &'static str,
    /// Words of the last message.
    last: &'static str,
    /// Words that must stand somewhere in the history; empty for none.
    with: &'static str,
    answer: Answer,
}

const fn line(agent: &'static str, last: &'static str, with: &'static str, answer: Answer) -> Line {
    Line {
        agent,
        last,
        with,
        answer,
    }
}

/// Returns the agent that a history is of.
pub(super) fn agent_of(messages: &[Value]) -> Option<&'static str> {
    let system = messages.first()?["content"].as_str()?;
    let is = |role: &&Role| system == role.prompt;
    AGENTS.iter().find(is).map(|role| role.name)
}

/// Returns the model's answer to a history: that of the first line that fits.
pub(super) fn next(agent: &str, messages: &[Value]) -> Option<Answer> {
    let last = messages.last()?["content"].as_str()?;
    let stands = |words: &str| {
        messages
            .iter()
            .any(|message| message.to_string().contains(words))
    };
    let fits = |line: &&Line| {
        line.agent == agent
            && last.contains(line.last)
            && (line.with.is_empty() || stands(line.with))
    };
    SCRIPT.iter().find(fits).map(|line| line.answer)
}

use Answer::{Call, Say};

/// The wrong sentence; whoever still has it in its history believes it.
const WRONG: &str = "wants the pending order #W1002 cancelled";

const SCRIPT: &[Line] = &[
    // T-101, and the beginning of every ticket: who writes?
    line(
        "intake",
        "Ticket T-101",
        "",
        Call(&[(
            "find_user_id_by_email",
            r#"{"email":"mara.lind@example.com"}"#,
        )]),
    ),
    line(
        "intake",
        "mara_lind_2041",
        "get_user_details",
        Say(
            "Ticket T-101: customer mara_lind_2041 wants the pending order #W2001 (Espresso Machine) \
             sent to 300 Pine Street, Portland, OR 97204, USA. Orders, please change the address of \
             #W2001 and have the courier informed.",
        ),
    ),
    line(
        "intake",
        "mara_lind_2041",
        "",
        Call(&[
            ("get_user_details", r#"{"user_id":"mara_lind_2041"}"#),
            ("get_order_details", r##"{"order_id":"#W2001"}"##),
        ]),
    ),
    line(
        "orders",
        "change the address of #W2001",
        "",
        Call(&[(
            "modify_pending_order_address",
            r##"{"order_id":"#W2001","address1":"300 Pine Street","address2":"","city":"Portland","state":"OR","country":"USA","zip":"97204"}"##,
        )]),
    ),
    line(
        "orders",
        "300 Pine Street",
        "",
        Say(
            "Order #W2001 now goes to 300 Pine Street, Portland, OR 97204. Courier, please collect \
             #W2001 for that address and tell mara_lind_2041.",
        ),
    ),
    line(
        "courier",
        "collect #W2001",
        "",
        Call(&[
            (
                "book_pickup",
                r##"{"order_id":"#W2001","task":"collect at the warehouse, deliver to 300 Pine Street, Portland, OR 97204"}"##,
            ),
            (
                "message_customer",
                r##"{"user_id":"mara_lind_2041","text":"Your espresso machine, order #W2001, is on its way to 300 Pine Street."}"##,
            ),
        ]),
    ),
    line(
        "courier",
        "is on its way to 300 Pine Street",
        "",
        Say("The pickup of #W2001 is booked, and mara_lind_2041 knows."),
    ),
    // T-102 again: what the model says depends on what it still believes.
    line(
        "intake",
        "Ticket T-102 again",
        WRONG,
        Say("Ticket T-102 is settled: the order that the customer meant, #W1002, is cancelled."),
    ),
    line(
        "intake",
        "Ticket T-102 again",
        "",
        Call(&[("get_order_details", r##"{"order_id":"#W1001"}"##)]),
    ),
    line(
        "intake",
        "Desk Lamp",
        "Ticket T-102 again",
        Say(
            "Ticket T-102: customer jonas_weber_1177 wants the pending order #W1001 (Desk Lamp) \
             cancelled because it was ordered by mistake, and nothing else. Orders, please cancel \
             #W1001 and have the customer told.",
        ),
    ),
    line(
        "orders",
        "please cancel #W1001",
        "",
        Call(&[(
            "cancel_pending_order",
            r##"{"order_id":"#W1001","reason":"ordered by mistake"}"##,
        )]),
    ),
    line(
        "orders",
        r##""order_id":"#W1001""##,
        "",
        Say(
            "Order #W1001 is cancelled, and 49.50 is back on gift_card_7310. Courier, please tell \
             jonas_weber_1177 that the lamp is cancelled and #W1002 is not.",
        ),
    ),
    line(
        "courier",
        "the lamp is cancelled and #W1002 is not",
        "",
        Call(&[(
            "message_customer",
            r##"{"user_id":"jonas_weber_1177","text":"We were wrong: your espresso machine, order #W1002, comes as ordered. It is the desk lamp, order #W1001, that is cancelled; 49.50 is back on your gift card."}"##,
        )]),
    ),
    line(
        "courier",
        "We were wrong",
        "",
        Say("jonas_weber_1177 knows that the lamp is cancelled and the espresso machine comes."),
    ),
    // T-102, as it goes wrong: the model reads order #W1002, a machine, and takes it for the lamp.
    line(
        "intake",
        "Ticket T-102",
        "",
        Call(&[(
            "find_user_id_by_email",
            r#"{"email":"jonas.weber@example.com"}"#,
        )]),
    ),
    line(
        "intake",
        "jonas_weber_1177",
        "get_order_details",
        Say(
            "Ticket T-102: customer jonas_weber_1177 wants the pending order #W1002 cancelled because \
             it was ordered by mistake. Orders, please cancel #W1002, refund it, and have the courier \
             stop the parcel.",
        ),
    ),
    line(
        "intake",
        "jonas_weber_1177",
        "Ticket T-102",
        Call(&[
            ("get_user_details", r#"{"user_id":"jonas_weber_1177"}"#),
            ("get_order_details", r##"{"order_id":"#W1002"}"##),
        ]),
    ),
    line(
        "orders",
        "please cancel #W1002",
        "",
        Call(&[(
            "cancel_pending_order",
            r##"{"order_id":"#W1002","reason":"ordered by mistake"}"##,
        )]),
    ),
    line(
        "orders",
        r##""order_id":"#W1002""##,
        "",
        Say(
            "Order #W1002 is cancelled: 120.00 went back to gift_card_7310 and 169.00 to \
             credit_card_8842. Courier, please bring the parcel of #W1002 back and tell \
             jonas_weber_1177.",
        ),
    ),
    line(
        "courier",
        "parcel of #W1002 back",
        "",
        Call(&[
            (
                "book_pickup",
                r##"{"order_id":"#W1002","task":"stop the parcel of #W1002 and bring it back to the warehouse"}"##,
            ),
            (
                "message_customer",
                r##"{"user_id":"jonas_weber_1177","text":"Your order #W1002 is cancelled, and 289.00 is refunded."}"##,
            ),
        ]),
    ),
    line(
        "courier",
        "Your order #W1002 is cancelled",
        "",
        Say("The parcel of #W1002 comes back, and jonas_weber_1177 knows."),
    ),
    // T-103.
    line(
        "intake",
        "Ticket T-103",
        "",
        Call(&[(
            "find_user_id_by_email",
            r#"{"email":"jonas.weber@example.com"}"#,
        )]),
    ),
    line(
        "intake",
        "jonas_weber_1177",
        "Ticket T-103",
        Say(
            "Ticket T-103: customer jonas_weber_1177 has moved to 9 Quarry Road, Troy, NY 12180, USA. \
             Orders, please change the default address of jonas_weber_1177.",
        ),
    ),
    line(
        "orders",
        "change the default address of jonas_weber_1177",
        "",
        Call(&[(
            "modify_user_address",
            r#"{"user_id":"jonas_weber_1177","address1":"9 Quarry Road","address2":"","city":"Troy","state":"NY","country":"USA","zip":"12180"}"#,
        )]),
    ),
    line(
        "orders",
        "9 Quarry Road",
        "",
        Say("The default address of jonas_weber_1177 is 9 Quarry Road, Troy, NY 12180."),
    ),
];
