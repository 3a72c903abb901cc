//! The layers of a function, as its template lists them.

use camino::Utf8Path;
use serde_json::Value;

use super::{
    known::{is_no_value, text},
    read::{Assembly, property, type_of},
};
use crate::project::manifest::Layer;

/// The layers of `function`, in the template's order, which is that in which they are laid over one another.
pub(super) fn of(assembly: &Assembly, template: usize, function: &Value) -> Vec<Layer> {
    match property(function, "Layers") {
        None => Vec::new(),
        Some(Value::Array(listed)) => {
            listed.iter().filter(|one| !is_no_value(one)).map(|one| layer(assembly, template, one)).collect()
        }
        Some(made) if is_no_value(made) => Vec::new(),
        Some(made) => {
            vec![unknown(made, "which layers it has is only known when the app is deployed; list them")]
        }
    }
}

fn unknown(expression: &Value, reason: &str) -> Layer {
    Layer::Absent { name: expression.to_string(), reason: reason.to_owned() }
}

fn layer(assembly: &Assembly, template: usize, expression: &Value) -> Layer {
    if let Some(place) = assembly.resolve(template, expression)
        && let Some(resource) = assembly.at(&place).filter(|at| type_of(at) == "AWS::Lambda::LayerVersion")
    {
        return of_app(assembly, place.0, &assembly.function_id(place.0, &place.1), resource);
    }
    match text(assembly, template, expression).filter(|text| text.contains(":layer:")) {
        Some(arn) => Layer::Published { arn },
        None => unknown(
            expression,
            "its ARN is only known when the app is deployed; write the ARN itself where the app names the layer",
        ),
    }
}

/// A layer that the app itself makes: what its construct was given, else what is in the assembly.
fn of_app(assembly: &Assembly, template: usize, id: &str, resource: &Value) -> Layer {
    let record = assembly.sources.get(id);
    let absent = |reason: &str| Layer::Absent { name: id.to_owned(), reason: reason.to_owned() };
    let made = record.and_then(|record| Some((record.asset_path.clone()?, record.making.clone()?)));
    if let Some((path, making)) = made {
        return Layer::Made { name: id.into(), path, making: Box::new(assembly.with_app(making)) };
    }
    if record.is_some_and(|record| record.placeholder) {
        return absent(
            "its construct makes it in a container, which is not done here; give the layer a directory that is made \
             already, or made by `bundling` (`Code.fromAsset`)",
        );
    }
    if let Some(path) = record.and_then(|record| record.asset_path.clone()) {
        return Layer::Local { path };
    }
    let metadata = resource.get("Metadata").and_then(|metadata| metadata.get("aws:asset:path"));
    let Some(path) = metadata.and_then(Value::as_str) else {
        return absent(
            "its files are not an asset of the app, but in a bucket; use a directory (`Code.fromAsset`)",
        );
    };
    let stack = &assembly.stacks[assembly.templates[template].stack];
    Layer::Local { path: assembly.directory.join(&stack.directory).join(Utf8Path::new(path)) }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use serde_json::json;

    use super::*;

    /// An assembly of one stack, whose layers are `/layers/<construct>`, but for `Made`, which is a placeholder.
    fn assembly(directory: &Utf8Path, template: &Value) -> Assembly {
        let manifest = json!({ "artifacts": { "App": {
            "type": "aws:cloudformation:stack",
            "environment": "aws://123456789012/eu-central-1",
            "properties": { "templateFile": "App.template.json" },
        } } });
        let sources = [
            json!({ "path": "App/Tools", "assetPath": "/layers/tools" }),
            json!({ "path": "App/Made", "placeholder": true }),
            json!({ "path": "App/ByCommand", "placeholder": true, "assetPath": "/layers/made", "making": {
                "command": ["cp", "a", "/asset-output"], "directory": "/layers/made", "environment": {}, "tryBundle": "hash",
            } }),
        ]
        .map(|line| format!("{line}\n"))
        .concat();
        for (name, text) in [
            ("manifest.json", manifest.to_string()),
            ("App.template.json", template.to_string()),
            ("sources", sources),
        ] {
            fs_err::write(directory.join(name), text).unwrap();
        }
        Assembly::read(directory, &directory.join("sources"), "dev", "1", "us-east-1").unwrap()
    }

    #[test]
    fn layers_are_found_in_order_whatever_names_them() {
        let arn = |region: &str| format!("arn:aws:lambda:{region}:017000801446:layer:Powertools:7");
        let layer = |path: &str, metadata: Value| {
            let mut metadata = metadata;
            metadata["aws:cdk:path"] = json!(format!("App/{path}/Resource"));
            json!({ "Type": "AWS::Lambda::LayerVersion", "Properties": {}, "Metadata": metadata })
        };
        let region = json!({ "Ref": "AWS::Region" });
        let template = json!({
            "Mappings": { "Arns": { "eu-central-1": { "x86": arn("eu-central-1") } } },
            "Resources": {
                "Function": { "Type": "AWS::Lambda::Function", "Properties": { "Layers": [
                    { "Ref": "Tools" },
                    { "Ref": "Staged" },
                    { "Ref": "AWS::NoValue" },
                    { "Ref": "Made" },
                    arn("us-east-1"),
                    { "Fn::Join": ["", ["arn:", { "Ref": "AWS::Partition" }, ":lambda:", region, ":1:layer:a:1"]] },
                    { "Fn::Sub": "arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:layer:own:3" },
                    { "Fn::FindInMap": ["Arns", region, "x86"] },
                    { "Fn::GetAtt": ["Parameter", "Value"] },
                    { "Ref": "Bucket" },
                    { "Ref": "ByCommand" },
                ] } },
                "Tools": layer("Tools", json!({})),
                "Staged": layer("Staged", json!({ "aws:asset:path": "asset.1" })),
                "Made": layer("Made", json!({ "aws:asset:path": "asset.2" })),
                "Bucket": layer("Bucket", json!({})),
                "ByCommand": layer("ByCommand", json!({ "aws:asset:path": "asset.2" })),
            },
        });
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        fs_err::create_dir_all(&directory).unwrap();
        let assembly = assembly(&directory, &template);
        let found = of(&assembly, 0, assembly.templates[0].resource("Function").unwrap());
        let local = |path: &str| Layer::Local { path: path.into() };
        let published = |arn: String| Layer::Published { arn };
        assert_eq!(found[..2], [local("/layers/tools"), local(directory.join("asset.1").as_str())]);
        let expected = [
            arn("us-east-1"),
            "arn:aws:lambda:eu-central-1:1:layer:a:1".to_owned(),
            "arn:aws:lambda:eu-central-1:123456789012:layer:own:3".to_owned(),
            arn("eu-central-1"),
        ];
        assert_eq!(found[3..7], expected.map(published));
        for (index, why) in [(2, "in a container"), (7, "only known when"), (8, "in a bucket")] {
            assert!(
                matches!(&found[index], Layer::Absent { reason, .. } if reason.contains(why)),
                "{:?}",
                found[index]
            );
        }
        let Layer::Made { name, path, making } = &found[9] else { panic!("{:?}", found[9]) };
        assert_eq!((name.as_str(), path.as_str()), ("App/ByCommand", "/layers/made"));
        assert_eq!((making.command.len(), &making.by_app), (3, &Some(assembly.synthesis.clone())));
        assert_eq!(found.len(), 10);
    }
}
