//! Every scenario of the library can be played: it loads without an error or a warning.

mod common;

use common::Folder;
use seatrial_scenarios::{Request, load};

#[test]
fn every_scenario_of_the_library_loads_without_a_warning() {
    let folder = Folder::of_crate();
    let mut count = 0;
    for path in folder.yaml_files("library") {
        let request = Request { scenario: Some(path.clone()), ..Request::default() };
        match load(&folder, &request) {
            Ok(loaded) => {
                assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
                assert!(!loaded.expectations.is_empty(), "{}: nothing is expected", path.display());
                assert!(!loaded.description.is_empty(), "{}: nothing is described", path.display());
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                assert_eq!(Some(loaded.config.name.as_str()), stem, "a scenario is called as its file");
            }
            Err(findings) => panic!("{findings}"),
        }
        count += 1;
    }
    assert!(count >= 10, "the library has {count} scenarios");
}
