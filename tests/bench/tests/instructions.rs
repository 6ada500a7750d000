//! What the guest executes for a request, held against `tests/bench/instructions.json`: the
//! figure that doesn't depend on the host. `UNIK_BLESS=1 cargo test -p unik-bench --test
//! instructions` writes it anew; look at the difference before you commit it.

use std::collections::BTreeMap;

use serde_json::json;
use unik_tests::{build, root};

/// What a compiler's mood may add. Two counts of the same image differ by less than 0.5 %, and by up to 3 % on a
/// machine that is busy, where the guest looks in vain more often: the file leaves room for that.
const PERCENT: u64 = 2;

#[test]
fn a_request_takes_no_more_instructions_than_it_took() {
    let image = build(&root().join("tests/bench/bench.unik"), &[]);
    let now = unik_bench::instructions::count(&image).unwrap_or_else(|error| panic!("{error}"));
    for (what, count) in &now {
        println!("FIGURE guest instructions per {what}: {count}");
        // An empty echo would be as suspicious as a dear one.
        assert!(*count > 100, "{what}: {count} instructions can't be all");
    }
    let path = root().join("tests/bench/instructions.json");
    if std::env::var_os("UNIK_BLESS").is_some() {
        std::fs::write(&path, format!("{:#}\n", json!(now))).expect("it can be written");
        return;
    }
    let text = std::fs::read_to_string(&path).expect("tests/bench/instructions.json");
    let held: BTreeMap<String, u64> = serde_json::from_str(&text).expect("counts");
    assert!(held.keys().eq(now.keys()), "{held:?} and {now:?} are of other things");
    let mut dearer = Vec::new();
    for (what, &is) in &now {
        let was = held[*what];
        if is * 100 > was * (100 + PERCENT) {
            dearer.push(format!("{what}: {was} → {is}"));
        } else if is * (100 + PERCENT) < was * 100 {
            println!("{what}: {was} → {is}: fewer; bless it, so that they stay so");
        }
    }
    assert!(
        dearer.is_empty(),
        "more instructions; if that must be: UNIK_BLESS=1 cargo test -p unik-bench --test instructions\n{}",
        dearer.join("\n")
    );
}
