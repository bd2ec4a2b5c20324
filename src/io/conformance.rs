//! What every back end must do, run against each of them on a real file system.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures::future::join_all;
use tempfile::TempDir;

use super::AlignedBuf;
use super::BLOCK_SIZE;
use super::BlockDevice;
use super::BlockPool;
use super::WRITE_SIZE;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// `f_type` of tmpfs, which hides alignment errors.
const TMPFS: i64 = 0x0102_1994;

/// A directory on a disk: the temporary one, unless that is memory; then beside the test program.
pub(super) fn directory_on_disk() -> TempDir {
    let program = std::env::current_exe().unwrap();
    let found = tempfile::tempdir().unwrap();
    match rustix::fs::statfs(found.path()).unwrap().f_type as i64 {
        TMPFS => tempfile::tempdir_in(program.parent().unwrap()).unwrap(),
        _ => found,
    }
}

/// Runs the whole suite; `root` is the empty directory that `device` is.
pub(super) async fn conforms(device: &dyn BlockDevice, pool: &BlockPool, root: &Path) {
    written_blocks_come_back(device, pool, root).await;
    reads_respect_the_end(device, root).await;
    misaligned_calls_are_refused_and_harmless(device, pool).await;
    allocation_sets_the_size(device, root).await;
    names_are_made_once(device).await;
    renaming_replaces_nothing(device).await;
    directories_are_listed(device).await;
    small_files_are_replaced_whole(device, root).await;
    paths_stay_inside(device).await;
    symbolic_links_are_not_followed(device, root).await;
    a_failed_write_kills_the_file(device, pool).await;
    files_may_vanish_while_they_are_opened(device).await;
    an_abandoned_write_gives_its_place_back(device, pool).await;
    assert!(device.list(Path::new("")).await.unwrap().is_empty(), "the suite cleans up");
    let space = device.space().await.unwrap();
    assert!(space.free <= space.total && space.total > 0, "{space:?}");
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at / 3).wrapping_mul(31) + at + seed) as u8).collect()
}

fn filled(len: usize, seed: usize) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(len);
    buf.as_mut_slice().copy_from_slice(&pattern(len, seed));
    buf
}

async fn create(device: &dyn BlockDevice, path: &str, bytes: usize) {
    let file = device.create(Path::new(path)).await.unwrap();
    file.write_at(filled(bytes, 0), bytes, 0).await.unwrap();
    file.sync().await.unwrap();
    file.close().await.unwrap();
}

async fn unlink(device: &dyn BlockDevice, path: &str) {
    device.unlink(Path::new(path)).await.unwrap();
}

/// The way of a chunk: pooled buffers in flight together, out of order, a shorter last one, cut to an odd length.
async fn written_blocks_come_back(device: &dyn BlockDevice, pool: &BlockPool, root: &Path) {
    let path = Path::new("way.part");
    let file = device.create(path).await.unwrap();
    let tail = 3 * BLOCK_SIZE;
    let len = 4 * WRITE_SIZE + 2 * BLOCK_SIZE + 77;
    file.allocate(8 * WRITE_SIZE as u64).await.unwrap();
    let writes = [2, 0, 4, 1, 3].map(|number| {
        let file = &file;
        async move {
            let mut buf = pool.acquire().await;
            assert_eq!(buf.len(), WRITE_SIZE);
            buf.as_mut_slice().copy_from_slice(&pattern(WRITE_SIZE, number));
            let written = if number == 4 { tail } else { WRITE_SIZE };
            let buf = file.write_at(buf, written, (number * WRITE_SIZE) as u64).await.unwrap();
            assert_eq!(buf.as_slice(), pattern(WRITE_SIZE, number), "the buffer comes back as it was");
        }
    });
    join_all(writes).await;
    assert_eq!(pool.available(), pool.count());
    file.truncate(len as u64).await.unwrap();
    file.sync().await.unwrap();
    file.close().await.unwrap();
    let metadata = std::fs::metadata(root.join(path)).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (len as u64, 0o600));
    assert!(metadata.blocks() * 512 < 6 * WRITE_SIZE as u64, "what was reserved is given back");

    let file = device.open(path).await.unwrap();
    for number in 0..4 {
        let read = file.read_at((number * WRITE_SIZE) as u64, WRITE_SIZE).await.unwrap();
        assert_eq!(read.as_slice(), pattern(WRITE_SIZE, number));
        assert_eq!(read.as_slice().as_ptr().align_offset(BLOCK_SIZE), 0);
    }
    let read = file.read_at(4 * WRITE_SIZE as u64, WRITE_SIZE).await.unwrap();
    assert_eq!(read.as_slice(), &pattern(WRITE_SIZE, 4)[..2 * BLOCK_SIZE + 77]);
    assert_eq!(std::fs::read(root.join(path)).unwrap()[..WRITE_SIZE], pattern(WRITE_SIZE, 0));
    file.close().await.unwrap();
    unlink(device, "way.part").await;
}

async fn reads_respect_the_end(device: &dyn BlockDevice, root: &Path) {
    let file = device.create(Path::new("end")).await.unwrap();
    file.write_at(filled(2 * BLOCK_SIZE, 5), 2 * BLOCK_SIZE, 0).await.unwrap();
    file.truncate(BLOCK + 1).await.unwrap();
    assert!(file.read_at(0, BLOCK_SIZE).await.is_err(), "a file being written is not read");
    file.close().await.unwrap();
    let file = device.open(Path::new("end")).await.unwrap();
    let bytes = pattern(2 * BLOCK_SIZE, 5);
    assert_eq!(file.read_at(0, 16 * BLOCK_SIZE).await.unwrap().as_slice(), &bytes[..BLOCK_SIZE + 1]);
    assert_eq!(file.read_at(BLOCK, BLOCK_SIZE).await.unwrap().as_slice(), &bytes[BLOCK_SIZE..BLOCK_SIZE + 1]);
    assert_eq!(file.read_at(2 * BLOCK, BLOCK_SIZE).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.read_at(1 << 40, BLOCK_SIZE).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert!(file.write_at(filled(BLOCK_SIZE, 0), BLOCK_SIZE, 0).await.is_err(), "nor is one being read written");
    file.close().await.unwrap();
    unlink(device, "end").await;
    // A file that lost its end since it was opened is an error, never fewer bytes.
    create(device, "cut", 4 * BLOCK_SIZE).await;
    let file = device.open(Path::new("cut")).await.unwrap();
    std::fs::File::options().write(true).open(root.join("cut")).unwrap().set_len(BLOCK + 100).unwrap();
    assert_eq!(file.read_at(0, 4 * BLOCK_SIZE).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.read_at(0, BLOCK_SIZE).await.unwrap().len(), BLOCK_SIZE);
    file.close().await.unwrap();
    unlink(device, "cut").await;
}

async fn misaligned_calls_are_refused_and_harmless(device: &dyn BlockDevice, pool: &BlockPool) {
    let file = device.create(Path::new("aligned")).await.unwrap();
    for (len, offset) in [(1, 0), (512, 0), (BLOCK_SIZE + 1, 0), (BLOCK_SIZE, 512), (0, 0), (2 * BLOCK_SIZE, 0)] {
        // The last one is aligned, and more than the buffer holds.
        let buf = AlignedBuf::zeroed(BLOCK_SIZE);
        assert_eq!(
            file.write_at(buf, len, offset).await.unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{len} {offset}"
        );
    }
    let refused = file.write_at(pool.acquire().await, 100, 0).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(pool.available(), pool.count(), "the refused buffer went home");
    assert_eq!(file.allocate(0).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    file.write_at(filled(BLOCK_SIZE, 1), BLOCK_SIZE, 0).await.unwrap();
    file.close().await.unwrap();
    let file = device.open(Path::new("aligned")).await.unwrap();
    for (len, offset) in [(1, 0), (BLOCK_SIZE, 1), (BLOCK_SIZE - 512, 0), (0, 0)] {
        assert_eq!(file.read_at(offset, len).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(file.read_at(0, BLOCK_SIZE).await.unwrap().as_slice(), pattern(BLOCK_SIZE, 1));
    file.close().await.unwrap();
    unlink(device, "aligned").await;
}

async fn allocation_sets_the_size(device: &dyn BlockDevice, root: &Path) {
    let file = device.create(Path::new("space")).await.unwrap();
    let metadata = || std::fs::metadata(root.join("space")).unwrap();
    file.allocate(1 << 20).await.unwrap();
    assert_eq!(metadata().len(), 1 << 20);
    assert!(metadata().blocks() * 512 >= 1 << 20);
    file.write_at(filled(BLOCK_SIZE, 2), BLOCK_SIZE, BLOCK).await.unwrap();
    file.allocate(4 << 20).await.unwrap();
    file.allocate(1 << 20).await.unwrap();
    assert_eq!(metadata().len(), 4 << 20, "it never shortens");
    file.truncate(3 * BLOCK).await.unwrap();
    file.close().await.unwrap();
    let file = device.open(Path::new("space")).await.unwrap();
    let read = file.read_at(0, 3 * BLOCK_SIZE).await.unwrap();
    let (before, rest) = read.as_slice().split_at(BLOCK_SIZE);
    let (written, after) = rest.split_at(BLOCK_SIZE);
    assert!(before.iter().chain(after).all(|&byte| byte == 0), "bytes never written are zero");
    assert_eq!(written, pattern(BLOCK_SIZE, 2));
    file.close().await.unwrap();
    unlink(device, "space").await;
}

async fn names_are_made_once(device: &dyn BlockDevice) {
    create(device, "once", BLOCK_SIZE).await;
    let error = device.create(Path::new("once")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let file = device.open(Path::new("once")).await.unwrap();
    assert_eq!(file.read_at(0, BLOCK_SIZE).await.unwrap().len(), BLOCK_SIZE, "the first one is untouched");
    unlink(device, "once").await;
    // An open file outlives its name.
    assert_eq!(file.read_at(0, BLOCK_SIZE).await.unwrap().len(), BLOCK_SIZE);
    file.close().await.unwrap();
    assert_eq!(device.open(Path::new("once")).await.err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(device.unlink(Path::new("once")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn renaming_replaces_nothing(device: &dyn BlockDevice) {
    let (part, done) = (Path::new("chunk.part"), Path::new("chunk.parquet"));
    create(device, "chunk.part", BLOCK_SIZE).await;
    device.rename(part, done).await.unwrap();
    assert_eq!(device.rename(part, done).await.unwrap_err().kind(), ErrorKind::NotFound);
    create(device, "chunk.part", 2 * BLOCK_SIZE).await;
    assert_eq!(device.rename(part, done).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let mut entries = device.list(Path::new("")).await.unwrap();
    entries.sort();
    let found: Vec<_> = entries.iter().map(|entry| (entry.name.to_str().unwrap(), entry.len)).collect();
    assert_eq!(found, [("chunk.parquet", BLOCK), ("chunk.part", 2 * BLOCK)], "both are where they were");
    unlink(device, "chunk.part").await;
    unlink(device, "chunk.parquet").await;
}

async fn directories_are_listed(device: &dyn BlockDevice) {
    let (outer, inner) = (Path::new("outer"), Path::new("outer/inner"));
    assert_eq!(device.make_directory(inner).await.unwrap_err().kind(), ErrorKind::NotFound);
    for path in [outer, inner, inner] {
        device.make_directory(path).await.unwrap();
    }
    create(device, "outer/file", BLOCK_SIZE).await;
    for path in ["", "outer", "outer/inner"] {
        device.sync_directory(Path::new(path)).await.unwrap();
    }
    let mut entries = device.list(outer).await.unwrap();
    entries.sort();
    let found: Vec<_> = entries.iter().map(|entry| (entry.name.to_str().unwrap(), entry.is_directory)).collect();
    assert_eq!(found, [("file", false), ("inner", true)]);
    let mut names = device.names(outer).await.unwrap();
    names.sort();
    let names: Vec<_> = names.iter().map(|entry| (entry.name.to_str().unwrap(), entry.is_directory)).collect();
    assert_eq!(names, found);
    assert_eq!(device.make_directory(Path::new("outer/file")).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(device.open(inner).await.err().unwrap().kind(), ErrorKind::InvalidInput);
    assert_eq!(device.remove_directory(outer).await.unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    unlink(device, "outer/file").await;
    device.remove_directory(inner).await.unwrap();
    device.remove_directory(outer).await.unwrap();
    assert_eq!(device.list(outer).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(device.names(outer).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(device.sync_directory(outer).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn small_files_are_replaced_whole(device: &dyn BlockDevice, root: &Path) {
    device.make_directory(Path::new("small")).await.unwrap();
    let path = Path::new("small/manifest");
    assert_eq!(device.read_small(path, 10).await.unwrap_err().kind(), ErrorKind::NotFound);
    // What a killed predecessor left.
    std::fs::write(root.join("small/manifest.tmp"), "torn and longer than the next").unwrap();
    device.write_small(path, b"first".to_vec()).await.unwrap();
    device.write_small(path, b"2nd".to_vec()).await.unwrap();
    assert_eq!(device.read_small(path, 3).await.unwrap(), b"2nd");
    assert_eq!(device.read_small(path, 2).await.unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(device.list(Path::new("small")).await.unwrap().len(), 1, "no draft is left");
    let nowhere = device.write_small(Path::new("nowhere/manifest"), vec![1]).await;
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound);
    device.write_small(path, Vec::new()).await.unwrap();
    assert!(device.read_small(path, 0).await.unwrap().is_empty());
    unlink(device, "small/manifest").await;
    device.remove_directory(Path::new("small")).await.unwrap();
}

async fn paths_stay_inside(device: &dyn BlockDevice) {
    for path in ["/tmp/x", "../x", "a/../x"] {
        let path = Path::new(path);
        let refused = [
            device.create(path).await.err(),
            device.open(path).await.err(),
            device.rename(path, Path::new("x")).await.err(),
            device.rename(Path::new("x"), path).await.err(),
            device.unlink(path).await.err(),
            device.make_directory(path).await.err(),
            device.write_small(path, vec![1]).await.err(),
            device.read_small(path, 1).await.err(),
            device.list(path).await.err(),
            device.names(path).await.err(),
        ];
        for error in refused {
            assert_eq!(error.unwrap().kind(), ErrorKind::InvalidInput, "{}", path.display());
        }
    }
}

async fn symbolic_links_are_not_followed(device: &dyn BlockDevice, root: &Path) {
    create(device, "target", BLOCK_SIZE).await;
    std::os::unix::fs::symlink(root.join("target"), root.join("link")).unwrap();
    assert!(device.open(Path::new("link")).await.is_err());
    assert!(device.create(Path::new("link")).await.is_err());
    assert!(device.read_small(Path::new("link"), BLOCK_SIZE).await.is_err());
    let entries = device.list(Path::new("")).await.unwrap();
    assert!(entries.iter().all(|entry| !entry.is_directory) && entries.len() == 2);
    unlink(device, "link").await;
    unlink(device, "target").await;
}

/// A write at the far end of what a file can be fails; from then on the file is dead, and its pool whole.
async fn a_failed_write_kills_the_file(device: &dyn BlockDevice, pool: &BlockPool) {
    let file = device.create(Path::new("dead")).await.unwrap();
    file.write_at(filled(BLOCK_SIZE, 0), BLOCK_SIZE, 0).await.unwrap();
    let beyond = (1 << 62) & !(BLOCK - 1);
    assert!(file.write_at(pool.acquire().await, WRITE_SIZE, beyond).await.is_err());
    assert_eq!(pool.available(), pool.count());
    assert!(file.write_at(filled(BLOCK_SIZE, 0), BLOCK_SIZE, 0).await.is_err());
    assert!(file.sync().await.unwrap_err().to_string().contains("abandoned"));
    assert!(file.truncate(0).await.is_err() && file.allocate(BLOCK).await.is_err());
    file.close().await.unwrap();
    unlink(device, "dead").await;
}

/// A name may go at any moment of an open: the answer is the file or `NotFound`, and never a panic.
async fn files_may_vanish_while_they_are_opened(device: &dyn BlockDevice) {
    for _ in 0..50 {
        create(device, "fleeting", BLOCK_SIZE).await;
        let path = Path::new("fleeting");
        let (removed, opened) = futures::join!(device.unlink(path), device.open(path));
        removed.unwrap();
        match opened {
            Ok(file) => assert_eq!(file.read_at(0, BLOCK_SIZE).await.unwrap().len(), BLOCK_SIZE),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
    }
}

/// Writes are given up while the kernel has them: the pool stays whole, and memory in flight is not handed out.
async fn an_abandoned_write_gives_its_place_back(device: &dyn BlockDevice, pool: &BlockPool) {
    let file = device.create(Path::new("abandoned")).await.unwrap();
    file.allocate(64 * WRITE_SIZE as u64).await.unwrap();
    for round in 0..32 {
        let mut buf = pool.acquire().await;
        buf.as_mut_slice().fill(round);
        let mut write = file.write_at(buf, WRITE_SIZE, u64::from(round) * WRITE_SIZE as u64);
        // One poll hands it to the back end (threads may be done within it); in every other round the executor also gets a
        // turn to submit it.
        let polled = futures::poll!(&mut write);
        if round % 2 == 1 {
            device.space().await.unwrap();
        }
        drop((polled, write));
        assert_eq!(pool.available(), pool.count());
    }
    let _ = file.sync().await;
    file.close().await.unwrap();
    unlink(device, "abandoned").await;
}
