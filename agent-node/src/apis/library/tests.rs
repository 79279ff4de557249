use super::*;

#[test]
fn a_name_that_would_leave_the_folder_is_refused() {
    let library = Library::open("nowhere", LazyEmbedder::none());
    for name in ["", "..", "a/b", "-x", ".hidden", "a b", &"x".repeat(65)] {
        assert!(matches!(library.get(name), Err(LibraryError::Name { .. })), "{name}");
    }
    assert!(matches!(library.get("weather"), Err(LibraryError::Unknown { known, .. }) if known.is_empty()));
}
