//! What `sst attach` finds in the local cloud: the project in `tests/fixtures/attach/sam`, whose templates SAM's own translator has translated
//! (aws-sam-translator 1.115), deployed by CloudFormation with the application that it nests.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
    time::Duration,
};

use aws_sdk_cloudformation::{client::Waiters as _, types::Capability};
use camino::{Utf8Path, Utf8PathBuf};
use sst::{
    attach::find::{Asked, Chosen, Found, Unsourced, declare, look_up},
    aws::{self, Aws},
    cloud::{self, Cloud},
    process::Spawner,
    project::manifest::Layer,
    ui::Ui,
};

/// Far longer than a stack of a few functions takes.
const PATIENCE: Duration = Duration::from_secs(60);

const STACK: &str = "orders-dev";

fn fixture(path: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attach").join(path)
}

async fn local_cloud(log: Utf8PathBuf, spawner: &Spawner, ui: &Ui) -> (Cloud, Aws) {
    let home = Utf8PathBuf::from(std::env::var("HOME").unwrap());
    let cache = std::env::var("XDG_CACHE_HOME").map_or_else(|_| home.join(".cache"), Utf8PathBuf::from);
    let options = cloud::Options { cache: cache.join("sst"), enforce_iam: false, node_path: Vec::new(), log };
    let cloud = Cloud::start(options, spawner, ui).await.unwrap();
    let endpoint = Some(cloud.endpoint().to_owned());
    let options = aws::Options { endpoint, local: true, ..aws::Options::default() };
    let aws = Aws::connect(options).await.unwrap();
    (cloud, aws)
}

/// Puts what the templates refer to into a bucket, and deploys them.
async fn deploy(aws: &Aws, cloud: &Cloud) {
    let s3 = aws.s3();
    s3.create_bucket().bucket("code").send().await.unwrap();
    let read = |name: &str| fs_err::read_to_string(fixture("sam-deployed").join(name)).unwrap();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("app.js", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(b"exports.handler = async () => 1;\n").unwrap();
    let archive = archive.finish().unwrap().into_inner();
    for (key, content) in [("code.zip", archive), ("billing.json", read("billing.json").into_bytes())] {
        s3.put_object().bucket("code").key(key).body(content.into()).send().await.unwrap();
    }
    let template = read("orders.json").replace("https://s3.amazonaws.com", cloud.endpoint());
    let client = aws.cloudformation();
    let creation = client.create_stack().stack_name(STACK).template_body(template);
    let creation = creation.capabilities(Capability::CapabilityIam);
    creation.send().await.unwrap();
    let created = client.wait_until_stack_create_complete().stack_name(STACK).wait(PATIENCE).await;
    created.unwrap();
}

fn told(found: &Found) -> BTreeMap<&str, &str> {
    let all = found.candidates.iter().map(|candidate| {
        let source = match &candidate.source {
            Ok(sourced) => sourced.shown.as_str(),
            Err(Unsourced::Unable(_)) => "unable",
            Err(Unsourced::NotFound(_)) => "not found",
            Err(Unsourced::Ambiguous(_)) => "ambiguous",
        };
        (candidate.label.as_str(), source)
    });
    all.collect()
}

#[tokio::test]
async fn a_sam_project_is_found_in_the_local_cloud() {
    let directory = tempfile::tempdir().unwrap();
    let log = Utf8PathBuf::from_path_buf(directory.path().join("cloud.log")).unwrap();
    let spawner = Spawner::guarded_by(env!("CARGO_BIN_EXE_sst"));
    let (ui, _shown) = Ui::channel();
    let (cloud, aws) = local_cloud(log, &spawner, &ui).await;
    deploy(&aws, &cloud).await;

    let root = fixture("sam");
    let asked = Asked { root: &root, stage: None, region: None, spawner: &spawner, ui: &ui };
    let declaration = declare(&asked).await.unwrap().unwrap();
    let mappings = BTreeMap::new();
    let expected: BTreeMap<&str, &str> = [
        ("Audit", "audit/, Go"),
        ("Billing/Charge", "billing/src/, JavaScript"),
        ("Create", "orders/src/create.ts"),
        ("List", "list/, JavaScript"),
        ("Ping", "unable"),
        ("Report", "report/, Python"),
        ("Thumbnails", "unable"),
        ("Traced", "traced/, JavaScript"),
    ]
    .into();
    let whole = look_up(&aws, Some(&declaration), &Chosen::default(), &asked, &mappings).await.unwrap();
    assert_eq!((told(&whole), whole.notices.as_slice()), (expected.clone(), &[][..]));

    // What the template says is enough as well.
    let stacks = [STACK.to_owned()];
    let chosen = Chosen { stacks: &stacks, functions: &[] };
    let of_stack = look_up(&aws, None, &chosen, &asked, &mappings).await.unwrap();
    assert_eq!(told(&of_stack), expected);

    // And so is a function's name, with a layer that somebody has added to it.
    let name = &whole.candidates.iter().find(|one| one.label == "List").unwrap().deployed.name;
    let archive = aws.s3().get_object().bucket("code").key("code.zip").send().await.unwrap();
    let archive = archive.body.collect().await.unwrap().to_vec();
    let content = aws_sdk_lambda::types::LayerVersionContentInput::builder().zip_file(archive.into()).build();
    let layer =
        aws.lambda().publish_layer_version().layer_name("shared").content(content).send().await.unwrap();
    let arn = layer.layer_version_arn().unwrap().to_owned();
    aws.lambda().update_function_configuration().function_name(name).layers(&arn).send().await.unwrap();
    let functions = [name.clone()];
    let chosen = Chosen { stacks: &[], functions: &functions };
    let bare = look_up(&aws, None, &chosen, &asked, &mappings).await.unwrap();
    let [list] = bare.candidates.as_slice() else { panic!("{bare:?}") };
    let sourced = list.source.as_ref().unwrap();
    assert_eq!((list.label.as_str(), sourced.shown.as_str()), (name.as_str(), "list/, JavaScript"));
    assert_eq!(sourced.spec.layers, [Layer::Published { arn }]);
    cloud.stop().await;
}
