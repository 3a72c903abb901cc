//! Attaching in a real local cloud, which is another opinion of what Lambda does.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::io::Write as _;

use aws_sdk_lambda::{
    primitives::Blob,
    types::{Environment, FunctionCode, Runtime},
};
use camino::{Utf8Path, Utf8PathBuf};
use sst::{
    attach::{
        APP, Deployed, STAGE,
        switch::{self, Outcome, Switching, Wanted},
    },
    aws::{self, Aws},
    cloud::{Cloud, Options},
    debug_stack::{self, Custom},
    process::Spawner,
    stub_package::{Architecture, Stubs, package},
    ui::Ui,
};

fn zipped(text: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("index.js", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}

/// A function with variables and more time than usual.
async fn create(aws: &Aws, name: &str) {
    let role =
        aws.iam().create_role().role_name(name).assume_role_policy_document("{}").send().await.unwrap();
    let role = role.role().unwrap().arn().to_owned();
    let variables = Environment::builder().variables("TABLE", "orders").variables("LD_DEBUG", "1").build();
    let code =
        FunctionCode::builder().zip_file(Blob::new(zipped("exports.handler = async () => 1;"))).build();
    let create = aws.lambda().create_function().function_name(name).role(role).code(code);
    let create =
        create.runtime(Runtime::Nodejs22x).handler("index.handler").timeout(7).environment(variables);
    create.tags("team", "orders").send().await.unwrap();
}

/// What Lambda tells of a function, but for what changes by itself.
async fn told(aws: &Aws, name: &str) -> Vec<String> {
    let look = aws.lambda().get_function().function_name(name).send().await.unwrap();
    let known = look.configuration().unwrap();
    let mut variables: Vec<_> = known.environment().unwrap().variables().unwrap().iter().collect();
    variables.sort();
    let mut tags: Vec<_> = look.tags().unwrap().iter().collect();
    tags.sort();
    vec![
        format!("{:?} {:?} {:?}", known.runtime(), known.handler(), known.timeout()),
        format!("{:?} {:?} {:?}", known.code_sha256(), known.layers(), known.architectures()),
        format!("{:?} {:?} {:?}", known.memory_size(), known.ephemeral_storage(), known.logging_config()),
        format!("{variables:?} {tags:?} {:?}", known.role()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_the_local_cloud_becomes_a_stub_and_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    fs_err::create_dir_all(&directory).unwrap();
    let home = Utf8PathBuf::from(std::env::var("HOME").unwrap());
    let cache = std::env::var("XDG_CACHE_HOME").map_or_else(|_| home.join(".cache"), Utf8PathBuf::from);
    let (ui, _shown) = Ui::channel();
    let spawner = Spawner::guarded_by(env!("CARGO_BIN_EXE_sst"));
    let options = Options {
        cache: cache.join("sst"),
        enforce_iam: false,
        node_path: Vec::new(),
        log: directory.join("cloud.log"),
    };
    let cloud = Cloud::start(options, &spawner, &ui).await.unwrap();
    let options =
        aws::Options { endpoint: Some(cloud.endpoint().to_owned()), local: true, ..aws::Options::default() };
    let aws = Aws::connect(options).await.unwrap();
    let (template, tags) = (switch::template(), std::collections::BTreeMap::new());
    let custom = Custom { template: &template, tags: &tags };
    let name = debug_stack::name(STAGE, APP);
    let debug_stack = debug_stack::deploy(&aws, &name, Some(custom), &ui).await.unwrap();
    let executable = directory.join("stub");
    fs_err::write(&executable, "#!/bin/false\n").unwrap();
    let stub = package(Architecture::X86_64, &executable, Utf8Path::new(directory.as_str())).unwrap();
    let switching = Switching {
        aws: aws.clone(),
        debug_stack,
        stubs: Stubs::new(stub, Vec::new()),
        owner: "alice@laptop".to_owned(),
        home: "home".to_owned(),
        increase_timeout: true,
        yes_production: false,
        ui,
    };
    create(&aws, "orders").await;
    let before = told(&aws, "orders").await;
    let deployed = Deployed { name: "orders".to_owned(), ..Deployed::default() };
    let wanted = Wanted { deployed, stage: None, stack: None };
    let attached = switching.attach(&[wanted]).await.remove(0).1.unwrap();
    let stub = told(&aws, "orders").await;
    assert!(stub[0].contains("Providedal2023") && stub[0].contains("900"), "{stub:?}");
    assert!(stub[3].contains("SST_ORIG_LD_DEBUG") && stub[3].contains("sst:attached"), "{stub:?}");
    assert!(switching.renew(std::slice::from_ref(&attached)).await.is_empty());
    let outcomes = switching.give_back(&[attached]).await;
    assert!(matches!(outcomes.as_slice(), [(_, Outcome::Restored)]), "{outcomes:?}");
    assert_eq!(told(&aws, "orders").await, before);
    assert!(switch::leases(&aws, &switching.debug_stack).await.unwrap().is_empty());
    cloud.stop().await;
}
