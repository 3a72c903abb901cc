//! Layers that somebody has published on Lambda: downloaded once, and kept in the user's cache by what they hold.

use std::collections::BTreeMap;

use aws_sdk_lambda::error::ProvideErrorMetadata;
use base64::{Engine, engine::general_purpose::STANDARD};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::join_all;
use sst_wire::sha256_hex;

use super::archive::unpack;
use crate::{
    aws::Aws,
    cache,
    project::manifest::{Layer, Manifest},
    ui::Ui,
};

/// Lambda takes no larger archive of a layer: 250 MB, unzipped.
const MOST_BYTES: u64 = 300 * 1024 * 1024;

/// Puts the files of published layers in the place of their ARNs. One that cannot be had is absent, and says why.
pub(crate) async fn download(manifest: &mut Manifest, aws: &Aws, cache: &Utf8Path, ui: &Ui) {
    let layers = || manifest.functions.iter().flat_map(|function| &function.layers);
    let mut wanted: Vec<String> = layers()
        .filter_map(|layer| match layer {
            Layer::Published { arn } => Some(arn.clone()),
            Layer::Local { .. } | Layer::Made { .. } | Layer::Absent { .. } => None,
        })
        .collect();
    wanted.sort();
    wanted.dedup();
    let all = wanted.into_iter().map(|arn| async move {
        let found = match known(&cache.join("layers"), &arn) {
            Some(path) => Ok(path),
            None => fetch(&arn, aws, &cache.join("layers"), ui).await,
        };
        (arn, found)
    });
    let found: BTreeMap<String, Result<Utf8PathBuf, String>> = join_all(all).await.into_iter().collect();
    for layer in manifest.functions.iter_mut().flat_map(|function| &mut function.layers) {
        let Layer::Published { arn } = layer else { continue };
        *layer = match found.get(arn) {
            Some(Ok(path)) => Layer::Local { path: path.clone() },
            Some(Err(reason)) => Layer::Absent { name: arn.clone(), reason: reason.clone() },
            None => continue,
        };
    }
}

/// Where the files of a version are. A version never changes, so what was downloaded once need not be asked for.
fn place(directory: &Utf8Path, arn: &str) -> Utf8PathBuf {
    directory.join(&sha256_hex(arn.as_bytes())[..32])
}

fn known(directory: &Utf8Path, arn: &str) -> Option<Utf8PathBuf> {
    // The local cloud counts versions anew each time.
    (!arn.contains(":000000000000:")).then(|| place(directory, arn)).filter(|path| path.is_dir())
}

async fn fetch(arn: &str, aws: &Aws, directory: &Utf8Path, ui: &Ui) -> Result<Utf8PathBuf, String> {
    let path = place(directory, arn);
    let asked = aws.lambda_in(region_of(arn)).get_layer_version_by_arn().arn(arn).send().await;
    let version = asked.map_err(|error| {
        let error = error.into_service_error();
        let what = error.message().unwrap_or("Lambda does not answer").to_owned();
        format!("{what}; see that your credentials may do `lambda:GetLayerVersion`, and that there is this version")
    })?;
    let missing = || "Lambda does not say where its files are".to_owned();
    let content = version.content.ok_or_else(missing)?;
    let location = content.location.ok_or_else(missing)?;
    let name = arn.rsplit(':').nth(1).unwrap_or(arn);
    ui.info(format!("Downloading the layer {name}, {} KB", content.code_size / 1024));
    let cannot = |error: std::io::Error| format!("it cannot be kept in `{directory}`: {error}");
    fs_err::create_dir_all(directory).map_err(cannot)?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(cannot)?;
    let downloaded = aws.download(&location, &mut file, MOST_BYTES).await;
    downloaded
        .map_err(|error| format!("its download has failed: {error}; start `sst` again to try once more"))?;
    let expected = content.code_sha256;
    let (cache, target) = (directory.to_owned(), path.clone());
    // Several programs may want the same one.
    let _lock = cache::lock(&cache, || {}).await.map_err(cannot)?;
    // Another one was faster, and its functions may run with it by now.
    if let Some(path) = known(directory, arn) {
        return Ok(path);
    }
    let unpacked = tokio::task::spawn_blocking(move || {
        let archive = Utf8Path::from_path(file.path()).ok_or("its path is not UTF-8")?;
        let bytes = fs_err::read(archive).map_err(|error| error.to_string())?;
        check(&bytes, expected.as_deref())?;
        if target.is_dir() {
            fs_err::remove_dir_all(&target).map_err(|error| error.to_string())?;
        }
        unpack(archive, &target).map_err(|error| error.to_string())
    });
    match unpacked.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(()) => Ok(path),
        Err(error) => Err(format!("its archive cannot be unpacked: {error}")),
    }
}

/// Whether the archive is the one that Lambda has told of.
fn check(archive: &[u8], expected: Option<&str>) -> Result<(), String> {
    let Some(expected) = expected.and_then(|text| STANDARD.decode(text).ok()) else { return Ok(()) };
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    if sha256_hex(archive) == expected {
        Ok(())
    } else {
        Err("it is not what Lambda says it is (SHA-256)".to_owned())
    }
}

/// `arn:aws:lambda:REGION:…`
fn region_of(arn: &str) -> String {
    arn.split(':').nth(3).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_the_one_that_was_told_of() {
        let told = STANDARD.encode([
            0x2c, 0xf2, 0x4d, 0xba, 0x5f, 0xb0, 0xa3, 0x0e, 0x26, 0xe8, 0x3b, 0x2a, 0xc5, 0xb9, 0xe2, 0x9e,
            0x1b, 0x16, 0x1e, 0x5c, 0x1f, 0xa7, 0x42, 0x5e, 0x73, 0x04, 0x33, 0x62, 0x93, 0x8b, 0x98, 0x24,
        ]);
        assert_eq!(check(b"hello", Some(&told)), Ok(()));
        assert!(check(b"hellO", Some(&told)).is_err());
        assert_eq!(region_of("arn:aws:lambda:eu-west-1:017000801446:layer:a:7"), "eu-west-1");
    }
}
