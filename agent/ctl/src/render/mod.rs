//! How answers look: as tables for people, as JSON and YAML for programs.
//!
//! Renders what the agent said and draws no conclusions of its own: it knows no Galera.

pub mod paint;
pub mod progress;
pub mod status_table;
pub mod table;
pub mod words;

use clap::ValueEnum;
use serde::Serialize;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs; its shape is API.
    Json,
    /// The same as YAML.
    Yaml,
}

/// A document in a format for programs; `table` is used when a person reads.
pub fn document<D: Serialize>(format: Format, doc: &D, table: impl FnOnce() -> String) -> String {
    match format {
        Format::Table => table(),
        Format::Json => json_text(serde_json::to_string_pretty(doc)),
        Format::Yaml => yaml_text(doc),
    }
}

/// One document of a stream: JSON on one line, YAML behind `---`.
pub fn stream_item<D: Serialize>(
    format: Format,
    doc: &D,
    table: impl FnOnce() -> String,
) -> String {
    match format {
        Format::Table => table(),
        Format::Json => json_text(serde_json::to_string(doc)),
        Format::Yaml => format!("---\n{}", yaml_text(doc)),
    }
}

// Our documents have string keys and plain values, so neither serializer can fail; should one do
// so nevertheless, the reader gets valid output that says it.
fn json_text(text: Result<String, serde_json::Error>) -> String {
    text.map_or_else(|e| format!("{{\"error\":\"{e}\"}}\n"), |text| text + "\n")
}

fn yaml_text<D: Serialize>(doc: &D) -> String {
    serde_yaml_ng::to_string(doc).unwrap_or_else(|e| format!("error: \"{e}\"\n"))
}
