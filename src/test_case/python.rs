//! Tests for pytest.

use camino::Utf8Path;

use super::{Call, Outcome, place::Code, quoted, relative};
use crate::json_text::{Words, indented};

pub(super) fn text(call: &Call<'_>, code: &Code, file: &Utf8Path) -> String {
    let directory = file.parent().unwrap_or(file);
    let Call { record, name, event, outcome } = call;
    let summary = &record.summary;
    let json = |text: &str, indent: usize| {
        indented(text.as_bytes(), Words::Python, 4, indent).unwrap_or_else(|| text.to_owned())
    };
    let (libraries, third, expected) = match outcome {
        Outcome::Returned(result) => (
            "import importlib\nimport json\n",
            "",
            format!(
                "    result = handler(EVENT, CONTEXT)\n    assert json.loads(json.dumps(result)) == {}",
                json(result, 4)
            ),
        ),
        Outcome::Failed(kind, message) => (
            "import importlib\n",
            "import pytest\n\n",
            format!(
                "    with pytest.raises(Exception) as raised:\n        handler(EVENT, CONTEXT)\n    \
                 assert type(raised.value).__name__ == {}\n    assert str(raised.value) == {}",
                quoted(kind),
                quoted(message)
            ),
        ),
    };
    let module = code.module.replace('/', ".");
    // What is in front of the last dot is the module's as well.
    let (more, export) = code
        .export
        .rsplit_once('.')
        .map_or((None, code.export.as_str()), |(more, export)| (Some(more), export));
    let module = more.map_or_else(|| module.clone(), |more| format!("{module}.{more}"));
    let plain: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' })
        .collect();
    format!(
        "\"\"\"Made by `sst test-case` of the call {id} of {function}.\"\"\"\n\n{libraries}import sys\n\
         from pathlib import Path\nfrom types import SimpleNamespace\n\n{third}\
         ROOT = (Path(__file__).parent / {root}).resolve()\nMODULE = {module}\nEVENT = {event}\n\
         CONTEXT = SimpleNamespace(\n    aws_request_id={request},\n    function_name={named},\n    get_remaining_time_in_millis=lambda: 3000,\n)\n\n\n\
         def handler(event, context):\n    \
         # Another function may have a module of the same name.\n    \
         for name in [name for name in sys.modules if name.split(\".\")[0] == MODULE.split(\".\")[0]]:\n        del sys.modules[name]\n    \
         sys.path.insert(0, str(ROOT))\n    try:\n        \
         return importlib.import_module(MODULE).{export}(event, context)\n    finally:\n        sys.path.remove(str(ROOT))\n\n\n\
         def test_{plain}():\n{expected}\n",
        id = summary.id,
        function = summary.function,
        root = quoted(&relative(directory, &code.root)),
        module = quoted(&module),
        event = json(event, 0),
        request = quoted(&summary.id),
        named = quoted(name),
    )
}
