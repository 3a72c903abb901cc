use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::{super::Which, *};
use crate::{process, ui::Ui};

fn fixtures() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attach")
}

async fn declared(root: &Utf8Path, stage: Option<&str>) -> Result<Option<Declaration>> {
    let (spawner, (ui, _shown)) = (process::for_tests(), Ui::channel());
    declare(&Asked { root, stage, region: None, spawner: &spawner, ui: &ui }).await
}

/// A project of some files.
fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    for (file, text) in files {
        fs_err::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs_err::write(root.join(file), text).unwrap();
    }
    (directory, root)
}

/// `sam-oracle/functions.json` is what `SamFunctionProvider` of the SAM CLI 1.170 says of the same template, with the same value of its
/// parameter: what it would build.
#[tokio::test]
async fn a_template_is_read_as_the_sam_cli_reads_it() {
    let root = fixtures().join("sam");
    let declaration = declared(&root, None).await.unwrap().unwrap();
    let text = fs_err::read_to_string(fixtures().join("sam-oracle/functions.json")).unwrap();
    let oracle: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(declaration.functions.len(), oracle.len());
    for (function, oracle) in declaration.functions.iter().zip(&oracle) {
        let code = &function.code;
        assert_eq!(json!(function.label), oracle["fullPath"]);
        if oracle["packageType"] == "Image" || !oracle["inlineCode"].is_null() {
            assert!(code.unable.is_some(), "{function:?}");
            continue;
        }
        assert_eq!(
            (json!(code.runtime), json!(code.handler)),
            (oracle["runtime"].clone(), oracle["handler"].clone())
        );
        let directory = root.join(oracle["codeUri"].as_str().unwrap());
        let is_bundled = oracle["buildMethod"] == "esbuild";
        assert_eq!((code.is_entry, code.bundling.is_some()), (is_bundled, is_bundled), "{function:?}");
        assert!(code.path.as_ref().unwrap().starts_with(&directory), "{function:?}");
        assert!(is_bundled || *code.path.as_ref().unwrap() == directory, "{function:?}");
    }
    let expected =
        Which::Resource { stack: "orders-dev".to_owned(), logical_id: "Billing/Charge".to_owned() };
    assert_eq!(declaration.functions.last().unwrap().which, expected);
    assert_eq!(
        (declaration.region.as_deref(), declaration.stage.as_deref()),
        (Some("us-east-1"), Some("orders-dev"))
    );
}

#[tokio::test]
async fn a_stage_is_an_environment_of_the_configuration() {
    let root = fixtures().join("sam");
    let declaration = declared(&root, Some("prod")).await.unwrap().unwrap();
    assert_eq!(declaration.shown, "samconfig.toml (stack orders-prod)");
    assert_eq!(
        (declaration.region.as_deref(), declaration.stage.as_deref()),
        (Some("eu-west-1"), Some("prod"))
    );
    assert!(declared(&root, Some("test")).await.is_err());
}

#[tokio::test]
async fn a_template_that_is_none_of_sam_is_not_read() {
    let (_directory, root) = project(&[("template.yaml", "a: [")]);
    assert!(declared(&root, None).await.unwrap().is_none());
    let (_directory, root) = project(&[("other.yaml", "Transform: AWS::Serverless-2016-10-31\n")]);
    assert!(declared(&root, None).await.unwrap().is_none());
    let broken = "Transform: AWS::Serverless-2016-10-31\nResources: [";
    let (_directory, root) = project(&[("template.yml", broken)]);
    let error = declared(&root, None).await.unwrap_err();
    assert!(error.message.contains("template.yml") && error.detail.is_some(), "{error:?}");
}

#[tokio::test]
async fn without_a_configuration_nobody_knows_the_stack() {
    let template = "Transform: AWS::Serverless-2016-10-31\nResources:\n  A:\n    Type: AWS::Serverless::Function\n    \
                    Properties: { Handler: a.handler, Runtime: !Ref Unknown }\n";
    let (_directory, root) = project(&[("template.yaml", template)]);
    let declaration = declared(&root, None).await.unwrap().unwrap();
    assert_eq!(declaration.shown, "template.yaml");
    let [a] = declaration.functions.as_slice() else { panic!("{declaration:?}") };
    assert_eq!(a.which, Which::Resource { stack: String::new(), logical_id: "A".to_owned() });
    assert_eq!((a.code.path.as_ref(), a.code.runtime.as_ref()), (Some(&root), None));
}

#[tokio::test]
async fn code_is_relative_to_the_template_or_to_the_directory_that_is_said() {
    let template = r#"{ "Resources": {
        "A": { "Type": "AWS::Lambda::Function", "Properties": { "Code": "../a", "Handler": "x.handler" } },
        "B": { "Type": "AWS::Lambda::Function", "Properties": { "Code": { "S3Bucket": "b", "S3Key": "k" }, "Handler": "x.handler" } },
        "C": { "Type": "AWS::Lambda::Function", "Properties": { "Code": { "ZipFile": "x" } } },
        "D": { "Type": "AWS::Lambda::Function", "Properties": { "Code": { "ImageUri": "x" }, "PackageType": "Image" } },
        "E": { "Type": "AWS::Serverless::Function", "Properties": { "CodeUri": "s3://b/k" } },
        "F": { "Type": "AWS::Serverless::Function", "Properties": { "CodeUri": "f" },
               "Metadata": { "BuildMethod": "rust-cargolambda", "BuildProperties": { "Binary": "worker" } } }
    } }"#;
    let config = "[default.global.parameters]\nstack_name = \"s\"\ntemplate_file = \"infra/app.json\"\n";
    let based = format!("{config}base_dir = \"code\"\n");
    for (config, a, f) in [(config, "a", "infra/f"), (&based, "a", "code/f")] {
        let (_directory, root) = project(&[("samconfig.toml", config), ("infra/app.json", template)]);
        let declaration = declared(&root, None).await.unwrap().unwrap();
        let codes: BTreeMap<&str, &super::super::Code> =
            declaration.functions.iter().map(|one| (one.label.as_str(), &one.code)).collect();
        let paths: Vec<_> = codes.values().map(|code| code.path.clone()).collect();
        assert_eq!(paths, [Some(root.join(a)), None, None, None, None, Some(root.join(f))]);
        let unable: Vec<_> = codes.values().map(|code| code.unable.is_some()).collect();
        assert_eq!(unable, [false, false, true, true, false, false]);
        assert_eq!(codes["F"].build.as_ref().unwrap().binary.as_deref(), Some("worker"));
    }
}

#[tokio::test]
async fn an_application_that_nests_itself_ends() {
    let template = "Transform: AWS::Serverless-2016-10-31\nResources:\n  A: { Type: AWS::Serverless::Function }\n  \
                    Again: { Type: AWS::Serverless::Application, Properties: { Location: template.yaml } }\n  \
                    Elsewhere: { Type: AWS::Serverless::Application, Properties: { Location: 'https://b.example/t' } }\n";
    let (_directory, root) = project(&[("template.yaml", template)]);
    let declaration = declared(&root, None).await.unwrap().unwrap();
    assert!(declaration.functions.len() > 1 && declaration.functions.len() < 10, "{declaration:?}");
}
