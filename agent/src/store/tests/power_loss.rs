//! A modelled disk that forgets what was not synced, in every way that a real one may.
//!
//! The store lives on it, is killed or loses power after any of its calls, and lives again. After
//! each death the value must be the last that was acknowledged or one that was being written, and
//! whoever has *seen* a value may rely on it too.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug, Clone, Default)]
struct Model {
    files: Vec<Content>,
    /// Names as running processes see them, and as the platter has them.
    visible: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Changes of names that no sync has made durable yet.
    pending: Vec<NameChange>,
    calls: usize,
    /// Calls up to this one are done, and every later one fails.
    last_call: Option<usize>,
    /// This one call fails, for this reason.
    fails: Option<(usize, io::ErrorKind)>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    written: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug, Clone)]
struct NameChange {
    removed: Option<String>,
    added: Option<(String, usize)>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(name) = &self.removed {
            names.remove(name);
        }
        if let Some((name, file)) = &self.added {
            names.insert(name.clone(), *file);
        }
    }
}

impl Model {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.last_call.is_some_and(|last| self.calls > last) {
            return Err(io::Error::other("dead"));
        }
        match self.fails {
            Some((call, kind)) if call == self.calls => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn change(&mut self, removed: Option<String>, added: Option<(String, usize)>) {
        let change = NameChange { removed, added };
        change.apply(&mut self.visible);
        self.pending.push(change);
    }

    /// The process is gone, the machine is not.
    fn after_kill(&self) -> Self {
        Self { calls: 0, last_call: None, fails: None, ..self.clone() }
    }

    /// Everything that the platter may hold: any of the unsynced changes of names, and of unsynced
    /// content the old, the new, a part, or zeros.
    fn after_power_loss(&self) -> Vec<Self> {
        let mut contents = vec![Vec::new()];
        for file in &self.files {
            let mut variants = vec![file.durable.clone()];
            if file.durable != file.written {
                variants.push(file.written.clone());
                variants.push(file.written[..file.written.len() / 2].to_vec());
                variants.push(vec![0; file.written.len()]);
            }
            contents = contents
                .iter()
                .flat_map(|files: &Vec<Content>| {
                    variants.iter().map(|bytes| {
                        let content = Content { written: bytes.clone(), durable: bytes.clone() };
                        [files.as_slice(), &[content]].concat()
                    })
                })
                .collect();
        }
        let mut outcomes = Vec::new();
        for kept in 0..1_usize << self.pending.len() {
            let mut names = self.durable.clone();
            for (at, change) in self.pending.iter().enumerate() {
                if kept >> at & 1 == 1 {
                    change.apply(&mut names);
                }
            }
            outcomes.extend(contents.iter().map(|files| Self {
                files: files.clone(),
                visible: names.clone(),
                durable: names.clone(),
                ..Self::default()
            }));
        }
        outcomes
    }
}

#[derive(Clone)]
struct ModelDisk(Arc<Mutex<Model>>);

impl ModelDisk {
    fn new(model: Model) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap()
    }

    fn call(&self) -> io::Result<MutexGuard<'_, Model>> {
        let mut model = self.model();
        model.call()?;
        Ok(model)
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Disk for ModelDisk {
    fn lock(&self, _: &Path) -> io::Result<DirectoryLock> {
        self.call().map(|_| Box::new(()) as DirectoryLock)
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(self.call()?.visible.keys().cloned().collect())
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let model = self.call()?;
        let file = *model.visible.get(&name_of(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(model.files[file].written.iter().copied().take(bytes_max).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut model = self.call()?;
        let name = name_of(path);
        let file = match model.visible.get(&name) {
            Some(file) => *file,
            None => {
                model.files.push(Content::default());
                let file = model.files.len() - 1;
                model.change(None, Some((name, file)));
                file
            }
        };
        model.files[file].written.clear();
        Ok(Box::new(ModelFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut model = self.call()?;
        let file = *model.visible.get(&name_of(from)).ok_or(io::ErrorKind::NotFound)?;
        model.change(Some(name_of(from)), Some((name_of(to), file)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut model = self.call()?;
        if !model.visible.contains_key(&name_of(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        model.change(Some(name_of(path)), None);
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut model = self.call()?;
        model.durable = model.visible.clone();
        model.pending.clear();
        Ok(())
    }
}

struct ModelFile {
    disk: ModelDisk,
    file: usize,
}

impl DiskFile for ModelFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut model = self.disk.model();
        // A call that fails or is interrupted has written a part.
        let done = model.call();
        let end = if done.is_ok() { bytes.len() } else { bytes.len() / 2 };
        model.files[self.file].written.extend(&bytes[..end]);
        done
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut model = self.disk.call()?;
        let file = &mut model.files[self.file];
        file.durable = file.written.clone();
        Ok(())
    }
}

/// What may be in the record: at least what someone relies on, at most what was begun.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    relied: u64,
    begun: u64,
}

const WRITES_PER_LIFE: u64 = 2;

/// Opens the store, checks what is there, writes on; until it is done or dead.
fn live(disk: &ModelDisk, bounds: &mut Bounds) -> Result<(), StoreError> {
    let store = Store::open_on(Box::new(disk.clone()), Path::new("/store"))?;
    let mut file = match store.record::<Generation>("acceptor")? {
        Loaded::Missing(vacancy) => {
            assert_eq!(bounds.relied, 0, "an acknowledged value is gone");
            bounds.begun = bounds.begun.max(1);
            let file = vacancy.create(&generation(1))?;
            bounds.relied = 1;
            file
        }
        Loaded::Present(value, file) => {
            assert_eq!(value, generation(value.number), "a mixture of two values");
            assert!(
                (bounds.relied..=bounds.begun).contains(&value.number),
                "{bounds:?}: {value:?}"
            );
            bounds.relied = value.number;
            file
        }
    };
    for _ in 0..WRITES_PER_LIFE {
        // A value that was begun and never seen may be written again, or a later one.
        let next = bounds.begun + 1;
        bounds.begun = next;
        file.write(&generation(next))?;
        bounds.relied = next;
    }
    let names: Vec<_> = disk.model().visible.keys().cloned().collect();
    assert_eq!(names, ["acceptor.record", "manifest.record"]);
    Ok(())
}

/// Lets one life end after each of its calls, and goes on from everything that it may leave.
/// Gives back how many lives were lived.
fn die_everywhere(start: &Model, bounds: Bounds, deaths_left: usize) -> usize {
    let mut lives = 0;
    for last_call in 0.. {
        let last_call = (deaths_left > 0).then_some(last_call);
        let disk = ModelDisk::new(Model { last_call, ..start.clone() });
        let mut bounds = bounds;
        lives += 1;
        match live(&disk, &mut bounds) {
            Ok(()) => return lives,
            Err(error) if last_call.is_none() => panic!("{error:?} with {:?}", disk.model()),
            Err(_) => {
                let dead = disk.model().clone();
                let left = [dead.after_kill()].into_iter().chain(dead.after_power_loss());
                lives += left.map(|it| die_everywhere(&it, bounds, deaths_left - 1)).sum::<usize>();
            }
        }
    }
    unreachable!("a life has an end")
}

#[test]
fn anytime_the_store_dies_it_comes_back_right() {
    let lives = die_everywhere(&Model::default(), Bounds { relied: 0, begun: 0 }, 2);
    println!("{lives} lives");
    // Guards the test itself: the walk went through two deaths at dozens of places each.
    assert!(lives > 1_000, "{lives}");
}

#[test]
fn anytime_a_call_fails_the_last_value_is_kept_and_the_next_write_works() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        let mut call = 0;
        loop {
            call += 1;
            let disk = ModelDisk::new(Model { fails: Some((call, kind)), ..Model::default() });
            if fail_once(&disk, kind) {
                break;
            }
        }
        assert!(call > 30, "{call}");
    }
}

/// One life in which one call fails; true if it had no such call.
fn fail_once(disk: &ModelDisk, kind: io::ErrorKind) -> bool {
    let open = || Store::open_on(Box::new(disk.clone()), Path::new("/store"));
    let mut failures = 0;
    let mut failed = |error: StoreError| {
        failures += 1;
        let left: Vec<_> = disk.model().visible.keys().cloned().collect();
        assert!(!left.iter().any(|name| name.ends_with(".tmp")), "{error:?} left {left:?}");
        let (full, uncertain) = match &error {
            StoreError::Full { .. } => (true, false),
            StoreError::Uncertain { .. } => (false, true),
            _ => (false, false),
        };
        let told = matches!(error, StoreError::Directory { .. }) || full || uncertain;
        assert!(told || kind != io::ErrorKind::StorageFull, "{error:?}");
        uncertain
    };
    let store = open().unwrap_or_else(|error| {
        failed(error);
        open().unwrap()
    });
    let mut file = loop {
        match store.record::<Generation>("acceptor") {
            Ok(Loaded::Missing(vacancy)) => match vacancy.create(&generation(1)) {
                Ok(file) => break file,
                Err(error) => {
                    let uncertain = failed(error);
                    let there = disk.model().visible.contains_key("acceptor.record");
                    assert!(uncertain || !there, "a record that was not created is there");
                }
            },
            Ok(Loaded::Present(_, file)) => break file,
            Err(error) => {
                failed(error);
            }
        }
    };
    for number in 2..4 {
        if let Err(error) = file.write(&generation(number)) {
            let uncertain = failed(error);
            let model = disk.model();
            let kept = &model.files[*model.visible.get("acceptor.record").unwrap()].written;
            let kept: Generation = decode(kept).unwrap();
            assert_eq!(kept.number, if uncertain { number } else { number - 1 });
            drop(model);
            file.write(&generation(number)).unwrap();
        }
    }
    drop(file);
    disk.model().fails = None;
    assert_eq!(load(&store).unwrap(), Some(generation(3)));
    failures == 0
}
