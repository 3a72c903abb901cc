use serde_json::json;

use super::*;

fn configuration(yaml_text: &str) -> Configuration {
    Configuration { fields: yaml::parse(yaml_text).unwrap(), ..Configuration::default() }
}

fn reason(configuration: &Configuration, path: &[&str]) -> String {
    configuration.get(path).unwrap_err().of(&path.join("."))
}

#[test]
fn options_win_over_the_file_and_defaults_come_last() {
    let mut read =
        configuration("{ provider: { stage: '${opt:stage, self:custom.stage}' }, custom: { stage: test } }");
    assert_eq!(read.stage().unwrap(), "test");
    read.options.insert("stage", "prod".to_owned());
    assert_eq!(read.stage().unwrap(), "prod");
    assert_eq!(configuration("service: a").stage().unwrap(), "dev");
}

#[test]
fn the_region_and_parameters_are_those_of_version_4_as_well() {
    let text = "
provider: { region: eu-west-1 }
a: ${aws:region}
b: ${param:x}-${param:y}
stages: { default: { params: { x: 1, y: 2 } }, prod: { params: { x: 3 } } }
";
    let mut read = configuration(text);
    assert_eq!((read.get(&["a"]).unwrap(), read.get(&["b"]).unwrap()), (json!("eu-west-1"), json!("1-2")));
    read.options.extend([("stage", "prod".to_owned()), ("region", "us-east-1".to_owned())]);
    assert_eq!((read.get(&["a"]).unwrap(), read.get(&["b"]).unwrap()), (json!("us-east-1"), json!("3-2")));
}

#[test]
fn what_only_the_tool_can_look_up_is_told_by_field_and_no_default_is_taken_for_it() {
    let read =
        configuration("{ a: '${ssm:/x, \"y\"}', b: 'is ${self:a}', c: '${file(x.js):y}', d: '${env:NONE}' }");
    assert_eq!(
        reason(&read, &["a"]),
        "`a` has `${ssm:/x, \"y\"}`, which only the Serverless Framework can look up"
    );
    assert!(reason(&read, &["b"]).contains("`${ssm:/x, \"y\"}`"), "the one that is not known is named");
    assert!(reason(&read, &["c"]).contains("is a program"), "{}", reason(&read, &["c"]));
    assert_eq!(reason(&read, &["d"]), "`d` has `${env:NONE}`, which has no value");
}

#[test]
fn variables_that_refer_to_themselves_come_to_an_end() {
    let read = configuration("{ a: '${self:b}', b: '${self:a}', provider: { stage: '${sls:stage}' } }");
    assert!(reason(&read, &["a"]).ends_with("which refers to itself"));
    assert!(read.stage().unwrap_err().of("stage").ends_with("which refers to itself"));
}

#[test]
fn files_are_read_beside_the_service_and_may_have_variables() {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(directory.path()).unwrap();
    fs_err::write(root.join("a.yml"), "key: { name: 'x-${self:service}' }\nlist: [1, { b: 2 }]").unwrap();
    fs_err::write(root.join("b.json"), r#"{ "n": 5 }"#).unwrap();
    fs_err::write(root.join("c.txt"), "plain").unwrap();
    fs_err::write(root.join("d.json"), "{").unwrap();
    let text = "
service: s
a: ${file(./a.yml):key.name}
whole: ${file(a.yml)}
item: ${file(a.yml):list.1.b}
b: ${file(b.json):n}
c: ${file(c.txt)}
d: ${file(d.json)}
absent: ${file(e.yml), 'none'}
";
    let read = Configuration { directory: root.to_owned(), ..configuration(text) };
    assert_eq!(read.get(&["a"]).unwrap(), "x-s");
    assert_eq!(read.get(&["whole"]).unwrap(), json!({ "key": { "name": "x-s" }, "list": [1, { "b": 2 }] }));
    assert_eq!(read.get(&["item"]).unwrap(), 2);
    assert_eq!(read.get(&["b"]).unwrap(), 5);
    assert_eq!(read.get(&["c"]).unwrap(), "plain");
    assert!(reason(&read, &["d"]).contains("cannot be read: EOF"), "{}", reason(&read, &["d"]));
    assert_eq!(read.get(&["absent"]).unwrap(), "none");
}

#[test]
fn entries_may_come_from_several_places() {
    let read =
        configuration("{ functions: ['${self:custom.more}', { b: { c: 1 } }], custom: { more: { a: {} } } }");
    assert_eq!(read.entries(&["functions"]).unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(read.entries(&["absent"]).unwrap().is_empty());
}

#[test]
fn what_the_tool_has_printed_has_no_variables() {
    let printed = Configuration { is_resolved: true, ..configuration("{ service: '${self:x}' }") };
    assert_eq!(printed.get(&["service"]).unwrap(), "${self:x}");
}
