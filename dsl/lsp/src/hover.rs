//! What something is, in a few lines.

use lsp_types::{Hover, HoverContents, HoverParams, MarkupContent, MarkupKind};

use crate::completion::{about, describe};
use crate::mentions::{Definition, Is, Mention, What};
use crate::navigate::mention_at;
use crate::server::Answer;
use crate::state::{Focus, State};
use crate::view::View;

/// What stands at a position.
///
/// # Errors
/// Never.
pub fn hover(state: &State, params: &HoverParams) -> Answer<Option<Hover>> {
    let Some((focus, mention)) = mention_at(state, &params.text_document_position_params) else {
        return Ok(None);
    };
    let Some(mut value) = text(&focus, &mention) else { return Ok(None) };
    value.push_str(&weight(state, &focus, &mention).unwrap_or_default());
    let range = Some(state.range(&focus.unit().parsed, mention.range));
    let contents = HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value });
    Ok(Some(Hover { contents, range }))
}

fn text(focus: &Focus, mention: &Mention) -> Option<String> {
    let view = &focus.view;
    let slot = || {
        let slot = mention.slot.as_ref()?;
        Some(format!("`<{}>` of `{}`: {}", slot.name, slot.option.get(1..)?.join(" "), slot.ty))
    };
    match &mention.what {
        What::Name { space, name, .. } => {
            let definition = view.definition(*space, name)?;
            let mut text = defined(view, definition);
            if let Some(slot) = slot() {
                text = format!("{text}\n\n{slot}");
            }
            Some(text)
        }
        What::Component(name) => Some(about(view.component(name)?)),
        What::Key(path) => Some(describe(path.last()?, view.spec(path)?)),
        What::Word(path, form) => {
            let spec = view.spec(path)?;
            let form = spec.forms.get(*form)?;
            let usage = format!("{} {}", path.last()?, form.usage);
            let doc = if form.doc.is_empty() { &spec.doc } else { &form.doc };
            Some(format!("```unik\n{usage}\n```\n{doc}"))
        }
        What::Path(path) => {
            let what = match std::fs::metadata(path) {
                Ok(meta) if meta.is_dir() => "a folder".to_string(),
                Ok(meta) => format!("a file of {} bytes", meta.len()),
                Err(_) => "there is no such file".into(),
            };
            Some(format!("`{}`: {what}", path.display()))
        }
        _ => slot(),
    }
}

/// What an instance, or the whole, took of the last image.
fn weight(state: &State, focus: &Focus, mention: &Mention) -> Option<String> {
    let What::Name { space, name, .. } = &mention.what else { return None };
    let is = &focus.view.definition(*space, name)?.is;
    let weights = state.host.weights(&focus.view.units.first()?.path)?;
    let image = bytes(weights.image);
    match is {
        Is::Appliance => Some(format!("\n\nIts last image has {image}.")),
        Is::Instance { .. } => {
            let (alone, shared) = weights.instances.get(name)?;
            let shared = match shared {
                0 => String::new(),
                shared => format!(", and {} with other lines", bytes(*shared)),
            };
            Some(format!(
                "\n\nOf the {image} of the last image it alone brought in {}{shared}.",
                bytes(*alone)
            ))
        }
        _ => None,
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        _ => format!("{}.{} KiB", count / 1024, count % 1024 * 10 / 1024),
    }
}

fn defined(view: &View, definition: &Definition) -> String {
    let unit = &view.units[definition.unit];
    let head = unit.parsed.text.get(definition.head.clone()).unwrap_or_default();
    let mut text = format!("```unik\n{head}\n```");
    if !definition.docs.is_empty() {
        text.push_str(&format!("\n{}", definition.docs));
    }
    match &definition.is {
        Is::Instance { component, .. } => {
            if let Some(component) = view.component(component) {
                text.push_str(&format!("\n\n{}", about(component)));
            }
        }
        Is::Param { at_boot: true, .. } => text.push_str("\n\nMay be set on the boot command line."),
        Is::Param { .. } => text.push_str(&format!("\n\nMay be set by `--set {}=…`.", definition.name)),
        Is::Let { .. } | Is::Appliance | Is::Crate { .. } => {}
    }
    text
}
