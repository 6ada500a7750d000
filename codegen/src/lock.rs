//! Lock files of cargo, put together.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// A lock file with the packages of `base` and those of `more`, each with what it depended on
/// there. Cargo drops what isn't used, and prefers what is in it to what is newer.
///
/// # Errors
/// When one of the two is no lock file.
pub fn union(base: &str, more: &str) -> Result<String, String> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for package in packages(base)?.into_iter().chain(packages(more)?) {
        if seen.insert(key(&package)) {
            all.push(Value::Table(package));
        }
    }
    let mut table = Table::new();
    table.insert("version".into(), Value::Integer(4));
    table.insert("package".into(), Value::Array(all));
    Ok(table.to_string())
}

fn text<'a>(package: &'a Table, key: &str) -> &'a str {
    package.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn key(package: &Table) -> [String; 3] {
    ["name", "version", "source"].map(|part| text(package, part).to_string())
}

/// The packages of a lock file. What they depend on is named with its version: a name alone
/// is enough only where there is one of it.
fn packages(lock: &str) -> Result<Vec<Table>, String> {
    let table: Table = lock.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut packages: Vec<Table> = match table.get("package") {
        Some(Value::Array(packages)) => packages.iter().filter_map(Value::as_table).cloned().collect(),
        Some(_) => return Err("`package` is no list".into()),
        None => Vec::new(),
    };
    let versions: BTreeMap<String, String> = packages
        .iter()
        .map(|package| (text(package, "name").to_string(), text(package, "version").to_string()))
        .collect();
    for package in &mut packages {
        for dependency in package.get_mut("dependencies").and_then(Value::as_array_mut).into_iter().flatten()
        {
            if let Some(name) = dependency.as_str()
                && let Some(version) = versions.get(name)
            {
                *dependency = Value::String(format!("{name} {version}"));
            }
        }
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
version = 4
[[package]]
name = "log"
version = "0.4.30"
source = "registry+x"
checksum = "1"
[[package]]
name = "app"
version = "0.1.0"
dependencies = ["log"]
"#;
    const MORE: &str = r#"
version = 4
[[package]]
name = "log"
version = "0.3.9"
source = "registry+x"
[[package]]
name = "app"
version = "0.1.0"
dependencies = []
[[package]]
name = "old"
version = "2.0.0"
source = "git+y#1"
dependencies = ["log"]
"#;

    #[test]
    fn each_keeps_what_it_depended_on() {
        let both = union(BASE, MORE).unwrap();
        let read = packages(&both).unwrap();
        let of = |name: &str, version: &str| {
            read.iter().find(|package| text(package, "name") == name && text(package, "version") == version)
        };
        assert_eq!(read.len(), 4, "{both}");
        assert_eq!(
            of("app", "0.1.0").unwrap()["dependencies"].as_array().unwrap()[0].as_str(),
            Some("log 0.4.30")
        );
        assert_eq!(
            of("old", "2.0.0").unwrap()["dependencies"].as_array().unwrap()[0].as_str(),
            Some("log 0.3.9")
        );
        assert_eq!(text(of("log", "0.4.30").unwrap(), "checksum"), "1");
    }

    #[test]
    fn what_is_no_lock_file_is_told() {
        assert!(union(BASE, "<<<<<<< mine").is_err());
        assert!(union("package = 1", MORE).is_err());
        assert!(union("", "").is_ok());
    }
}
