use super::*;

/// What the Node side of synthesis knows of languages.
#[test]
fn synthesis_reads_the_same_table() {
    let row = |language: &dyn Language| serde_json::json!({ "runtimes": language.runtimes().prefixes, "construct": language.construct() });
    let table: serde_json::Map<_, _> =
        all().map(|language| (language.id().to_owned(), row(language))).collect();
    let text = serde_json::to_string_pretty(&table).unwrap() + "\n";
    let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/synth/languages.json");
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(&file, &text).unwrap();
    }
    assert_eq!(fs_err::read_to_string(&file).unwrap(), text, "UPDATE=1 writes it anew");
}

#[test]
fn a_runtime_means_languages_or_says_why_not() {
    let names =
        |runtime| of_runtime(runtime).map(|found| found.iter().map(|one| one.id()).collect::<Vec<_>>());
    assert_eq!(names("nodejs22.x"), Ok(vec!["node"]));
    assert_eq!(names("python3.13"), Ok(vec!["python"]));
    assert_eq!(names("java21"), Ok(vec!["java"]));
    assert_eq!(names("go1.x"), Ok(vec!["go"]));
    assert_eq!(names("provided.al2023"), Ok(vec!["rust", "go", "command"]));
    for (runtime, reason) in [
        ("ruby3.4", "functions in Ruby (`ruby3.4`) do not run on this machine yet"),
        ("cobol85", "the runtime `cobol85` does not run on this machine yet"),
    ] {
        assert_eq!(names(runtime), Err(reason.to_owned()));
    }
}

#[test]
fn each_language_is_known_by_its_own_id() {
    let ids: std::collections::BTreeSet<_> = all().map(|language| language.id()).collect();
    assert_eq!(ids.len(), ALL.len());
    for language in all() {
        assert_eq!(get(&language.id().into()).id(), language.id());
    }
    assert_eq!(get(&"no such language".into()).id(), COMMAND);
}
