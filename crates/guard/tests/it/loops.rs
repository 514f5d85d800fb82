//! The same call again and again.

use guard::Loops;
use model::{Digest, RunId};

fn run(n: u8) -> RunId {
    RunId::new(1, [n; 10])
}

#[test]
fn c31_the_same_call_is_counted_until_another_comes_between() {
    let (a, b) = (Digest([1; 32]), Digest([2; 32]));
    let mut loops = Loops::default();
    let mut made = |agent, call| loops.made(run(1), agent, call);
    assert_eq!([a, a, a].map(|call| made("ada", call)), [0, 1, 2]);
    assert_eq!(made("bob", a), 0, "another agent");
    assert_eq!([b, a, a].map(|call| made("ada", call)), [0, 0, 1]);
    assert_eq!(loops.before(run(1), "ada", a), 2);
    assert_eq!(loops.before(run(1), "ada", b), 0);
    assert_eq!(loops.before(run(2), "ada", a), 0, "another run");
}
