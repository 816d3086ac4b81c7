//! What bad scenarios get: every `bad/NAME.yaml` is refused with exactly the messages in
//! `bad/NAME.expected`, all at once. `SEATRIAL_ACCEPT=1` writes the expected messages anew.

mod common;

use common::Folder;
use seatrial_api::document::Position;
use seatrial_scenarios::{Request, load};

#[test]
fn bad_scenarios_get_all_their_errors_at_once_with_place_and_remedy() {
    let folder = Folder::of_crate();
    let accept = std::env::var_os("SEATRIAL_ACCEPT").is_some();
    let mut wrong = Vec::new();
    for path in folder.yaml_files("tests/bad") {
        let request = Request { scenario: Some(path.clone()), ..Request::default() };
        let Err(findings) = load(&folder, &request) else { panic!("{} is good", path.display()) };
        for error in findings.errors() {
            assert_ne!(error.position, Position::NONE, "no place: {error}");
        }
        let expected = folder.path(&path.with_extension("expected"));
        let found = findings.to_string();
        if accept {
            std::fs::write(&expected, &found).expect("a writable folder");
        } else if std::fs::read_to_string(&expected).is_ok_and(|expected| expected == found) {
            continue;
        }
        wrong.push(format!("{}:\n{found}", expected.display()));
    }
    assert!(accept || wrong.is_empty(), "{}", wrong.join("\n"));
}
