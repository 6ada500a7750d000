//! The page with the treemap: one file, that asks no network for anything.

use serde_json::{Value, json};
use unik_codegen::audit::{Cost, bill};
use unik_codegen::image::Report;

use crate::proof;

/// The page, but for its data.
const PAGE: &str = include_str!("treemap.html");

/// The page of an image: owners, in them crates, in these source files.
pub fn page(report: &Report) -> String {
    let shares = bill::by_owner(report);
    let children: Vec<Value> = shares
        .iter()
        .filter(|share| share.bytes.in_file() > 0)
        .map(|share| {
            let rows: Vec<&Cost> = report.cost.iter().filter(|cost| cost.owners == share.owners).collect();
            let name = match share.owners.as_slice() {
                [one] => one.clone(),
                several => format!("shared by {}", several.join(", ")),
            };
            let mut node = json!({ "name": name, "size": share.bytes.in_file(), "children": crates(&rows) });
            let lines = proof::lines(share);
            if !lines.is_empty() {
                node["note"] = json!(lines);
            }
            node
        })
        .collect();
    let whole: u64 = shares.iter().map(|share| share.bytes.in_file()).fold(0, u64::saturating_add);
    let lines: Vec<Value> = bill::by_line(report)
        .iter()
        .map(|share| {
            let name = if share.lines.is_empty() {
                "every appliance has it, or shares it with what it has".into()
            } else {
                super::lines(share)
            };
            json!([name, share.bytes.code, share.bytes.data, share.bytes.zeroed])
        })
        .collect();
    let packages: Vec<Value> = bill::by_crate(&report.cost)
        .iter()
        .map(|(name, bytes)| json!([name, bytes.code, bytes.data, bytes.zeroed]))
        .collect();
    let head = |first: &str| json!([first, "code", "data", "zeroed memory"]);
    let data = json!({
        "title": format!("Bytes of {}", report.manifest.appliance),
        "root": { "name": report.manifest.appliance, "size": whole, "children": children },
        "tables": [
            { "title": "By line", "head": head("line"), "rows": lines },
            { "title": "By crate", "head": head("crate"), "rows": packages },
        ],
    });
    // Whatever a file name holds, it ends no element of the page.
    let data = data.to_string().replace('<', "\\u003c");
    PAGE.replacen("DATA", &data, 1)
}

fn crates(rows: &[&Cost]) -> Vec<Value> {
    let owned: Vec<Cost> = rows.iter().map(|cost| (*cost).clone()).collect();
    bill::by_crate(&owned)
        .into_iter()
        .filter(|(_, bytes)| bytes.in_file() > 0)
        .map(|(name, bytes)| {
            let mut files: Vec<(&str, u64)> = rows
                .iter()
                .filter(|cost| {
                    cost.package == name && !cost.module.is_empty() && cost.code.saturating_add(cost.data) > 0
                })
                .map(|cost| (cost.module.as_str(), cost.code.saturating_add(cost.data)))
                .collect();
            files.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
            let named = files.iter().map(|(_, size)| *size).fold(0, u64::saturating_add);
            let rest = bytes.in_file().saturating_sub(named);
            let mut children: Vec<Value> =
                files.iter().map(|(name, size)| json!({ "name": name, "size": size })).collect();
            if rest > 0 && !children.is_empty() {
                children.push(json!({ "name": "no one file", "size": rest }));
            }
            json!({ "name": name, "size": bytes.in_file(), "children": children })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_nobody_for_anything() {
        assert_eq!(PAGE.matches("DATA").count(), 1);
        for word in ["http:", "https:", "src=", "@import", "url(", "fetch("] {
            assert!(!PAGE.contains(word), "{word}");
        }
    }

    #[test]
    fn what_is_in_it_ends_no_element() {
        let report = json!({
            "build": { "version": 1, "unik": "0", "sources": "0", "rustc": "0", "seed": "0x1" },
            "version": 2, "loaded": 1, "memory": 1, "sections": [], "crates": [], "nodes": [],
            "manifest": { "version": 1, "appliance": "</script><b>", "memory": 1, "cpu": "", "devices": [], "networks": [], "listens": [] },
            "cost": [{ "owners": ["runtime"], "package": "</script>", "module": "x", "code": 9, "data": 1, "zeroed": 0 }],
        });
        let report: Report = serde_json::from_value(report).unwrap();
        let page = page(&report);
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        let (_, data) = page.split_once("id=\"data\">").unwrap();
        let data: Value = serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
        assert_eq!(data["root"]["size"], 10);
        assert_eq!(data["root"]["children"][0]["children"][0]["children"][0]["name"], "x");
    }
}
