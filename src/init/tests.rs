use super::*;

fn directory() -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
    (directory, root)
}

fn put(root: &Utf8Path, path: &str, text: &str) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

fn get(root: &Utf8Path, path: &str) -> String {
    fs_err::read_to_string(root.join(path)).unwrap()
}

fn init(root: &Utf8Path, language: &str) -> Result<Vec<Utf8PathBuf>> {
    Plan::new(root, language, "notes", None)?.write()
}

#[test]
fn an_empty_directory_gets_an_app_and_sst_json_last() {
    assert_eq!(languages(), ["go", "java", "javascript", "python", "rust", "typescript"]);
    for language in languages() {
        let (_guard, root) = directory();
        let written = init(&root, language).unwrap();
        assert_eq!(written.last().unwrap(), PROJECT, "{language}");
        assert!(written.contains(&".gitignore".into()) && written.contains(&PACKAGE.into()), "{written:?}");
        let main = project::Project::find(&root).unwrap();
        assert_eq!(main.name, "notes");
        let project::Kind::Sst { main: Some(main), .. } = main.kind else { panic!("{language}") };
        assert!(main.is_file(), "{main}");
        assert!(get(&root, PACKAGE).contains("\"name\": \"notes\""));
    }
}

#[test]
fn what_was_interrupted_is_taken_up_again() {
    for lost in ["sst.json", "functions/hello.ts", "package.json"] {
        let (_guard, root) = directory();
        init(&root, "typescript").unwrap();
        assert_eq!(init(&root, "typescript").unwrap(), Vec::<Utf8PathBuf>::new());
        fs_err::remove_file(root.join(lost)).unwrap();
        assert_eq!(init(&root, "typescript").unwrap(), [lost]);
    }
    // What was changed since then stays.
    let (_guard, root) = directory();
    init(&root, "typescript").unwrap();
    put(&root, "functions/hello.ts", "mine");
    assert_eq!(init(&root, "typescript").unwrap(), Vec::<Utf8PathBuf>::new());
    assert_eq!(get(&root, "functions/hello.ts"), "mine");
}

#[test]
fn an_app_that_is_there_stays_alone() {
    for (file, text) in [
        ("sst.json", r#"{ "name": "mine" }"#),
        ("cdk.json", r#"{ "app": "node app.js" }"#),
        ("stacks/index.ts", "mine"),
        ("functions/hello.ts", "mine"),
        ("package.json", "nonsense"),
        ("package.json", "[]"),
        ("package.json", r#"{ "devDependencies": 1 }"#),
    ] {
        let (_guard, root) = directory();
        put(&root, file, text);
        let error = init(&root, "typescript").unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{file}");
        assert!(error.message.contains(file) && error.hint.is_some(), "{error:?}");
        assert_eq!(get(&root, file), text);
        let left: Vec<_> = root.read_dir_utf8().unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn settings_and_links_and_rights_stay() {
    let (_guard, root) = directory();
    put(&root, "tsconfig.json", "{}");
    put(&root, "shared/package.json", "{}");
    fs_err::set_permissions(root.join("shared/package.json"), std::fs::Permissions::from_mode(0o640))
        .unwrap();
    std::os::unix::fs::symlink("shared/package.json", root.join("package.json")).unwrap();
    let plan = Plan::new(&root, "typescript", "notes", None).unwrap();
    assert_eq!(plan.kept, ["tsconfig.json"]);
    plan.write().unwrap();
    assert_eq!(get(&root, "tsconfig.json"), "{}");
    assert!(root.join("package.json").is_symlink());
    assert!(get(&root, "shared/package.json").contains("aws-cdk-lib"));
    assert_eq!(
        fs_err::metadata(root.join("shared/package.json")).unwrap().permissions().mode() & 0o777,
        0o640
    );
    // A new one is as any that a user creates.
    let of_a_user = fs_err::File::create(root.join("of-a-user")).unwrap().metadata().unwrap();
    assert_eq!(
        fs_err::metadata(root.join(PROJECT)).unwrap().permissions().mode(),
        of_a_user.permissions().mode()
    );
}

#[test]
fn a_package_json_keeps_its_order_and_its_indentation() {
    let template =
        r#"{ "devDependencies": { "aws-cdk-lib": "^2", "constructs": "^10", "typescript": "^5" } }"#;
    let own = Own::new("tool", "1.2.3");
    for (before, after) in [
        (
            "{\n\t\"scripts\": {},\n\t\"devDependencies\": {\n\t\t\"b\": \"1\",\n\t\t\"jest\": \"^29\"\n\t},\n\t\"type\": \"module\"\n}\n",
            "{\n\t\"scripts\": {},\n\t\"devDependencies\": {\n\t\t\"aws-cdk-lib\": \"^2\",\n\t\t\"b\": \"1\",\n\t\t\"constructs\": \"^10\",\n\t\t\"jest\": \"^29\",\n\t\t\"tool\": \"^1.2.3\",\n\t\t\"typescript\": \"^5\"\n\t},\n\t\"type\": \"module\"\n}\n",
        ),
        // What is there somewhere is not added, whatever its version.
        (
            "{\n    \"dependencies\": { \"aws-cdk-lib\": \"2.100.0\", \"constructs\": \"10.0.0\" },\n    \"devDependencies\": { \"tool\": \"file:tool.tgz\" }\n}",
            "{\n    \"dependencies\": { \"aws-cdk-lib\": \"2.100.0\", \"constructs\": \"10.0.0\" },\n    \"devDependencies\": {\n        \"tool\": \"file:tool.tgz\",\n        \"typescript\": \"^5\"\n    }\n}",
        ),
        (
            "{\r\n  \"name\": \"x\"\r\n}\r\n",
            "{\r\n  \"name\": \"x\",\r\n  \"devDependencies\": {\r\n    \"aws-cdk-lib\": \"^2\",\r\n    \"constructs\": \"^10\",\r\n    \"tool\": \"^1.2.3\",\r\n    \"typescript\": \"^5\"\r\n  }\r\n}\r\n",
        ),
    ] {
        let merged = package::merge(Some(before), template, Some(&own)).unwrap();
        assert_eq!(merged, after);
        assert_eq!(package::merge(Some(&merged), template, Some(&own)).unwrap(), merged);
    }
}

#[test]
fn a_gitignore_gets_the_lines_that_it_lacks() {
    let wanted = "node_modules/\n.sst/\n";
    for (before, after) in [
        ("", "node_modules/\n.sst/\n"),
        ("/node_modules\n", "/node_modules\n.sst/\n"),
        ("# mine\n*.log", "# mine\n*.log\nnode_modules/\n.sst/\n"),
        ("a\r\n.sst\r\n", "a\r\n.sst\r\nnode_modules/\r\n"),
    ] {
        assert_eq!(ignoring(before, wanted), after);
        assert_eq!(ignoring(after, wanted), after);
    }
}

#[test]
fn the_package_manager_is_the_projects_own() {
    for (files, program) in [
        (vec![], "npm"),
        (vec![("pnpm-lock.yaml", "")], "pnpm"),
        (
            vec![("package.json", r#"{ "packageManager": "yarn@4.1.0" }"#), ("package-lock.json", "{}")],
            "yarn",
        ),
        (vec![("bun.lock", "")], "bun"),
    ] {
        let (_guard, root) = directory();
        for (file, text) in files {
            put(&root, file, text);
        }
        put(&root, "packages/app/package.json", "{}");
        assert_eq!(Installer::of(&root).program, program);
        // A part of a repository is installed with it; what is above no repository is somebody else's.
        assert_eq!(Installer::of(&root.join("packages/app")).program, "npm");
        put(&root, ".git/HEAD", "");
        assert_eq!(Installer::of(&root.join("packages/app")).program, program);
    }
}

#[test]
fn names_are_those_that_stacks_can_have() {
    let (_guard, root) = directory();
    assert_eq!(app_name(&root, Some("my-app")).unwrap(), "my-app");
    assert_eq!(app_name(&root, Some("9 lives")).unwrap_err().kind, Kind::Usage);
    fs_err::create_dir(root.join("My App")).unwrap();
    assert_eq!(app_name(&root.join("My App"), None).unwrap(), "My-App");
    put(&root, "package.json", r#"{ "name": "@scope/service" }"#);
    assert_eq!(app_name(&root, None).unwrap(), "service");
    fs_err::create_dir(root.join("123")).unwrap();
    assert_eq!(app_name(&root.join("123"), None).unwrap(), "my-app");
    put(&root, "sst.json", r#"{ "name": "Begun" }"#);
    assert_eq!(app_name(&root, None).unwrap(), "Begun");
}
