//! An upload on disk: a directory with its files and what was said of them.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::status::Status;
use super::terms::Fields;
use crate::settings::Settings;

/// The file that makes a directory an upload; written last.
const FILE: &str = "upload.json";
/// What directories begin with until they are uploads.
const INCOMING: &str = ".incoming-";

/// An upload that has come as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// `namespace/time`.
    pub id: String,
    /// `namespace.time`, by which its status is asked for.
    pub id_key: String,
    /// What the form said.
    pub fields: Fields,
    /// The name of the data file.
    pub data_name: String,
    /// The name of the info file, if there is one.
    pub info_name: Option<String>,
    /// Where it is.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// A directory for what is coming in, removed unless it becomes an upload.
#[derive(Debug)]
pub struct Incoming {
    directory: PathBuf,
    is_kept: bool,
}

impl Incoming {
    /// A new one below `root`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn new(root: &Path) -> io::Result<Self> {
        let name = format!("{INCOMING}{:016x}", fastrand::u64(..));
        let directory = root.join(name);
        std::fs::create_dir_all(directory.join("data"))?;
        Ok(Self {
            directory,
            is_kept: false,
        })
    }

    /// Where a file of this name goes.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join("data").join(name)
    }

    /// Makes an upload of it, which then is where the job says.
    ///
    /// # Errors
    ///
    /// The system's; nothing is left then.
    pub fn keep(mut self, root: &Path, mut job: Job) -> io::Result<Job> {
        job.directory = root.join(&job.id_key);
        let text = serde_json::to_vec(&job)?;
        std::fs::write(self.directory.join(FILE), text)?;
        std::fs::rename(&self.directory, &job.directory)?;
        self.is_kept = true;
        Ok(job)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_kept {
            // The next start removes what is left.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

impl Job {
    /// The directory of the files as they came.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its status before anything was done.
    pub fn status(&self, settings: &Settings) -> Status {
        let mut items = Map::new();
        for name in [
            "parent_metric_namespace",
            "timezone",
            "format",
            "archive",
            "info_file_in_archive",
            "skip_rows",
            "header_row",
            "resample_method",
            "ignore_submitted_timestamps",
        ] {
            let value = self.fields.get(name).unwrap_or("none");
            items.insert(name.to_owned(), Value::from(value));
        }
        for (name, value) in [
            ("upload_id", json!(self.id)),
            ("status", json!("pending")),
            ("data_filename", json!(self.data_name)),
            ("info_filename", json!(self.info_name)),
            (&*self.data_name, json!("pending")),
        ] {
            items.insert(name.to_owned(), value);
        }
        if let Some(warning) = self.undeclared(settings) {
            items.insert("warning".to_owned(), Value::from(warning));
        }
        Status::new(&self.id_key, items)
    }

    /// What to tell if Skyline will not analyse the namespace.
    pub fn undeclared(&self, settings: &Settings) -> Option<String> {
        let namespace = self.fields.get("parent_metric_namespace")?.trim();
        let batch = &settings.batch;
        let mut declared = batch.namespaces.iter();
        if batch.enabled && declared.any(|declared| namespace.contains(&**declared)) {
            return None;
        }
        Some(format!(
            "{namespace} is not in batch.namespaces, or batch.enabled is false: Skyline's \
             analyzer_batch, which analyses history, will not look at it"
        ))
    }

    /// Copies its files to a directory of its own below `to`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn save(&self, to: &Path) -> io::Result<()> {
        let to = to.join(&self.id_key);
        std::fs::create_dir_all(&to)?;
        for file in std::fs::read_dir(self.data_directory())? {
            let file = file?;
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
        Ok(())
    }
}

/// The uploads that an earlier server has left below `root`, oldest first. What had
/// not come as a whole is removed.
pub fn left_behind(root: &Path) -> Vec<Job> {
    let mut jobs = Vec::new();
    let Ok(entries) = std::fs::read_dir(root) else {
        return jobs;
    };
    for directory in entries.flatten().map(|entry| entry.path()) {
        let text = std::fs::read(directory.join(FILE)).ok();
        let job = text.and_then(|text| serde_json::from_slice::<Job>(&text).ok());
        let is_incoming = directory
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(INCOMING));
        match job {
            Some(mut job) if !is_incoming => {
                job.directory = directory;
                jobs.push(job);
            }
            // Nobody knows of it: its sender was never told that it was taken.
            _ => {
                let _ = std::fs::remove_dir_all(&directory);
            }
        }
    }
    jobs.sort_by(|one, other| one.id_key.cmp(&other.id_key));
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id_key: &str) -> Job {
        Job {
            id: id_key.replace('.', "/"),
            id_key: id_key.to_owned(),
            fields: Fields::default(),
            data_name: "a.csv".to_owned(),
            info_name: None,
            directory: PathBuf::new(),
        }
    }

    #[test]
    fn whole_uploads_are_found_again_and_halves_removed() {
        let root = tempfile::tempdir().unwrap();
        let incoming = Incoming::new(root.path()).unwrap();
        std::fs::write(incoming.file("a.csv"), "x").unwrap();
        let kept = incoming.keep(root.path(), job("ns.2")).unwrap();
        Incoming::new(root.path())
            .unwrap()
            .keep(root.path(), job("ns.1"))
            .unwrap();
        std::fs::create_dir(root.path().join(".incoming-x")).unwrap();
        std::fs::create_dir(root.path().join("other")).unwrap();
        let found = left_behind(root.path());
        let keys: Vec<&str> = found.iter().map(|job| &*job.id_key).collect();
        assert_eq!(keys, ["ns.1", "ns.2"]);
        assert_eq!(
            std::fs::read(kept.data_directory().join("a.csv")).unwrap(),
            b"x"
        );
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_does_not_become_an_upload_is_removed() {
        let root = tempfile::tempdir().unwrap();
        drop(Incoming::new(root.path()).unwrap());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_are_saved_under_the_uploads_key() {
        let (root, save) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let incoming = Incoming::new(root.path()).unwrap();
        std::fs::write(incoming.file("a.csv"), "x").unwrap();
        let kept = incoming.keep(root.path(), job("ns.2")).unwrap();
        kept.save(save.path()).unwrap();
        assert_eq!(std::fs::read(save.path().join("ns.2/a.csv")).unwrap(), b"x");
    }
}
