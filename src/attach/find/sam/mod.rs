//! A project of the AWS Serverless Application Model: its template says what the functions are, and `samconfig.toml` in which stack they are.
//! Both as the SAM CLI reads them: <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/>.

mod config;
mod esbuild;
mod template;
mod values;

#[cfg(test)]
mod tests;

use camino::Utf8PathBuf;

use self::{
    config::Config,
    template::{Context, read},
};
use super::{Asked, Declaration};
use crate::error::Result;

/// What people call it.
const TOOL: &str = "SAM";

/// Where `sam build` leaves its copy of the template, whose code is what was built.
const BUILT: &str = ".aws-sam";

/// What the SAM CLI looks for where no template is named.
const TEMPLATES: [&str; 3] = ["template.yaml", "template.yml", "template.json"];

/// Reads them. None where there is no template of SAM.
///
/// # Errors
/// [`crate::error::Kind::Usage`] for files that cannot be read, and for a stage that the configuration does not have.
pub(super) async fn declare(asked: &Asked<'_>) -> Result<Option<Declaration>> {
    let config = Config::read(asked.root, asked.stage)?;
    let named = config.as_ref().and_then(Config::template).map(|path| asked.root.join(path));
    let usual = || TEMPLATES.iter().map(|name| asked.root.join(name)).find(|path| path.is_file());
    let Some(path) = named.or_else(usual) else { return Ok(None) };
    let Some(template) = read(&path, config.is_some())? else { return Ok(None) };

    let config = config.unwrap_or_default();
    let stack = config.stack().unwrap_or_default();
    let mut parameters = config.overrides();
    let pseudo = [
        ("AWS::StackName", Some(stack.clone())),
        ("AWS::Region", asked.region.map(str::to_owned).or(config.region())),
    ];
    parameters.extend(pseudo.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let context = Context {
        path: path.clone(),
        base: config.base().map(|base| asked.root.join(base)),
        stack: stack.clone(),
    };
    let mut notices = Vec::new();
    let functions = template::functions(&context, &template, parameters, &mut notices);
    let source = if config.file.is_empty() { shown(asked, &path) } else { config.file.clone() };
    Ok(Some(Declaration {
        tool: TOOL,
        shown: if stack.is_empty() { source } else { format!("{source} (stack {stack})") },
        functions,
        region: config.region(),
        profile: config.profile(),
        stage: asked.stage.map(str::to_owned).or(Some(stack).filter(|stack| !stack.is_empty())),
        notices,
    }))
}

fn shown(asked: &Asked<'_>, path: &Utf8PathBuf) -> String {
    path.strip_prefix(asked.root).unwrap_or(path).to_string()
}
