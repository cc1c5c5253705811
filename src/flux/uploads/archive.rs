//! The files of an upload, out of their archive. Nothing but plain files of the known
//! kinds gets out, under names of this server's choice, within bounds that are kept
//! while unpacking: what an archive says of its sizes is not believed.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use super::terms::Archive;

/// Below so much, any ratio of sizes is fine.
const RATIO_FROM_BYTES: u64 = 1 << 20;
/// What is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Bounds of what an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of all files together, unpacked.
    pub bytes_max: u64,
    /// How many times smaller a packed file may be.
    pub ratio_max: u64,
    /// How many files.
    pub files_max: usize,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Each file's name, and where it is.
    pub files: Vec<(String, PathBuf)>,
    /// Names of those that were left out, and why.
    pub refused: Vec<(String, String)>,
}

/// Letters, digits and `_.-` of a name's last part, not beginning with a dot.
pub fn safe_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_good = |c: &char| c.is_ascii_alphanumeric() || "_.-".contains(*c);
    let name: String = name.chars().filter(is_good).take(120).collect();
    name.trim_start_matches('.').to_owned()
}

/// What follows the last dot, in small letters.
pub fn extension(name: &str) -> String {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    extension.unwrap_or_default().to_ascii_lowercase()
}

/// Unpacks `file`, whose name is `name`, into the directory `to`, which is there.
///
/// # Errors
///
/// What is wrong with the archive as a whole; what was unpacked stays.
pub fn unpack(
    archive: Archive,
    file: &Path,
    name: &str,
    to: &Path,
    bounds: Bounds,
) -> Result<Unpacked, String> {
    match archive {
        Archive::None => Ok(Unpacked {
            files: vec![(name.to_owned(), file.to_owned())],
            refused: Vec::new(),
        }),
        Archive::Gz => gz(file, name, to, bounds),
        Archive::Zip => zip(file, name, to, bounds),
    }
}

fn gz(file: &Path, name: &str, to: &Path, bounds: Bounds) -> Result<Unpacked, String> {
    let Some(inner) = name
        .strip_suffix(".gz")
        .map(safe_name)
        .filter(|it| !it.is_empty())
    else {
        return Err(format!("{name} does not end with .gz"));
    };
    let mut unpacked = Unpacked::default();
    if !is_allowed(&inner) {
        unpacked.refused.push((inner, NOT_ALLOWED.to_owned()));
        return Ok(unpacked);
    }
    let source = File::open(file).map_err(|error| error.to_string())?;
    let packed = source.metadata().map_err(|error| error.to_string())?.len();
    let path = to.join(&inner);
    let mut left = bounds.bytes_max;
    let decoder = flate2::read::MultiGzDecoder::new(source);
    copy(decoder, &path, packed, &mut left, bounds).map_err(|error| format!("{name}: {error}"))?;
    unpacked.files.push((inner, path));
    Ok(unpacked)
}

const NOT_ALLOWED: &str = "failed - DELETED - not an allowed file type";

fn is_allowed(name: &str) -> bool {
    matches!(&*extension(name), "json" | "csv" | "xlsx" | "xls")
}

fn zip(file: &Path, name: &str, to: &Path, bounds: Bounds) -> Result<Unpacked, String> {
    let bad = |error: ::zip::result::ZipError| format!("{name}: {error}");
    let source = File::open(file).map_err(|error| error.to_string())?;
    let mut archive = ::zip::ZipArchive::new(source).map_err(bad)?;
    if archive.len() > bounds.files_max {
        return Err(format!(
            "{name} holds {} files, at most {} are taken (flux.uploads.files_max)",
            archive.len(),
            bounds.files_max
        ));
    }
    let mut unpacked = Unpacked::default();
    let mut left = bounds.bytes_max;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(bad)?;
        if entry.is_dir() {
            continue;
        }
        let path = entry.name().map_err(bad)?.into_owned();
        let told: String = path.chars().filter(|c| !c.is_control()).take(200).collect();
        if !is_safe(&path) || entry.is_symlink() {
            return Err(format!(
                "Unsafe file path detected in the zip file - {told}"
            ));
        }
        let inner = safe_name(&path);
        if inner.is_empty() || !is_allowed(&inner) {
            unpacked.refused.push((told, NOT_ALLOWED.to_owned()));
            continue;
        }
        if unpacked.files.iter().any(|(known, _)| *known == inner) {
            unpacked
                .refused
                .push((told, format!("failed - another file is named {inner} too")));
            continue;
        }
        let target = to.join(&inner);
        let packed = entry.compressed_size();
        copy(entry, &target, packed, &mut left, bounds).map_err(|e| format!("{told}: {e}"))?;
        unpacked.files.push((inner, target));
    }
    Ok(unpacked)
}

/// Whether a path stays below where it begins.
fn is_safe(path: &str) -> bool {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.contains(['\\', '\0', ':']) && Path::new(path).components().all(is_plain)
}

/// Writes what is unpacked to a new file, as long as there is room `left`.
fn copy(
    mut from: impl Read,
    to: &Path,
    packed: u64,
    left: &mut u64,
    bounds: Bounds,
) -> Result<(), String> {
    let mut file = File::create_new(to).map_err(|error| error.to_string())?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut written = 0;
    loop {
        let count = from.read(&mut piece).map_err(|error| error.to_string())?;
        if count == 0 {
            return file.flush().map_err(|error| error.to_string());
        }
        written += count as u64;
        *left = left.checked_sub(count as u64).ok_or_else(|| {
            format!(
                "more than {} bytes when unpacked (flux.uploads.unpacked_bytes_max)",
                bounds.bytes_max
            )
        })?;
        if written > RATIO_FROM_BYTES && written / packed.max(1) > bounds.ratio_max {
            return Err(format!(
                "more than {} times its size when unpacked (flux.uploads.ratio_max)",
                bounds.ratio_max
            ));
        }
        file.write_all(&piece[..count])
            .map_err(|error| error.to_string())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use ::zip::write::{SimpleFileOptions, ZipWriter};
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds {
        bytes_max: 8 << 20,
        ratio_max: 100,
        files_max: 5,
    };

    fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let options = SimpleFileOptions::default();
            match name.strip_prefix("link:") {
                Some(name) => writer.add_symlink(name, "/etc/passwd", options).unwrap(),
                None => {
                    writer.start_file(*name, options).unwrap();
                    writer.write_all(bytes).unwrap();
                }
            }
        }
        writer.finish().unwrap().into_inner()
    }

    fn run(archive: Archive, name: &str, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("to");
        std::fs::create_dir(&to).unwrap();
        let file = directory.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let unpacked = unpack(archive, &file, name, &to, BOUNDS);
        // Whatever was in it, nothing is outside.
        let around: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(around.len(), 2, "{around:?}");
        let unpacked = unpacked?;
        let mut all = Vec::new();
        for (name, path) in unpacked.files {
            all.push((name, std::fs::read(path).unwrap()));
        }
        all.extend(
            unpacked
                .refused
                .into_iter()
                .map(|(name, why)| (name, why.into_bytes())),
        );
        Ok(all)
    }

    #[test]
    fn files_come_out_by_their_own_names() {
        let bytes = zipped(&[
            ("info.json", b"{}"),
            ("folder/a.csv", b"a"),
            ("./b b.CSV", b"b"),
        ]);
        let files = run(Archive::Zip, "x.zip", &bytes).unwrap();
        let wanted = [
            ("info.json", b"{}".to_vec()),
            ("a.csv", b"a".to_vec()),
            ("bb.CSV", b"b".to_vec()),
        ];
        assert_eq!(files, wanted.map(|(name, bytes)| (name.to_owned(), bytes)));
    }

    #[test]
    fn paths_that_lead_elsewhere_and_links_are_refused() {
        for name in [
            "../a.csv",
            "/a.csv",
            "x/../../a.csv",
            "c:\\a.csv",
            "link:a.csv",
        ] {
            let error = run(Archive::Zip, "x.zip", &zipped(&[(name, b"a")])).unwrap_err();
            assert!(
                error.starts_with("Unsafe file path detected in the zip file - "),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_data_stays_in_and_is_told() {
        let inner = zipped(&[("a.csv", b"a")]);
        let bytes = zipped(&[
            ("a.sh", b"x"),
            ("b.zip", &inner),
            (".csv", b"x"),
            ("a/c.csv", b"1"),
            ("c.csv", b"2"),
        ]);
        let all = run(Archive::Zip, "x.zip", &bytes).unwrap();
        assert_eq!(all[0], ("c.csv".to_owned(), b"1".to_vec()));
        let refused: Vec<&str> = all[1..].iter().map(|(name, _)| &**name).collect();
        assert_eq!(refused, ["a.sh", "b.zip", ".csv", "c.csv"]);
        assert_eq!(all[1].1, NOT_ALLOWED.as_bytes());
    }

    #[test]
    fn bombs_are_refused_before_they_go_off() {
        let zeros = vec![0; 4 << 20];
        let error = run(Archive::Zip, "x.zip", &zipped(&[("a.csv", &zeros)])).unwrap_err();
        assert!(error.contains("more than 100 times its size"), "{error}");
        let many: Vec<(String, Vec<u8>)> = (0..6).map(|n| (format!("{n}.csv"), vec![])).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(n, b)| (&**n, &**b)).collect();
        let error = run(Archive::Zip, "x.zip", &zipped(&many)).unwrap_err();
        assert!(error.contains("holds 6 files, at most 5"), "{error}");
        let mut noise: Vec<u8> = (0..9_u32 << 20)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        noise[0] = 0;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&noise).unwrap();
        let error = run(Archive::Gz, "a.csv.gz", &encoder.finish().unwrap()).unwrap_err();
        assert!(error.contains("more than"), "{error}");
    }

    #[test]
    fn a_gz_file_loses_its_ending() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"a").unwrap();
        let bytes = encoder.finish().unwrap();
        assert_eq!(
            run(Archive::Gz, "a.csv.gz", &bytes),
            Ok(vec![("a.csv".to_owned(), b"a".to_vec())])
        );
        assert_eq!(
            run(Archive::Gz, "a.sh.gz", &bytes).unwrap()[0].1,
            NOT_ALLOWED.as_bytes()
        );
        assert!(run(Archive::Gz, "a.csv.gz", b"no gzip").is_err());
        assert!(run(Archive::Gz, "a.csv", &bytes).is_err());
    }

    #[test]
    fn names_are_made_safe() {
        for (name, safe) in [
            ("../../etc/passwd", "passwd"),
            ("a b'c\"d;e.csv", "abcde.csv"),
            ("..hidden.csv", "hidden.csv"),
            ("C:\\dir\\x.csv", "x.csv"),
            ("\u{e4}.csv", "csv"),
        ] {
            assert_eq!(safe_name(name), safe);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = run(Archive::Zip, "x.zip", &bytes);
            let _ = run(Archive::Gz, "a.csv.gz", &bytes);
        }

        #[test]
        fn a_zip_with_any_name_stays_within(name in "[a./\\\\]{1,12}") {
            let _ = run(Archive::Zip, "x.zip", &zipped(&[(&name, b"a")]));
        }
    }
}
