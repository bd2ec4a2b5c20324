use std::time::Duration;

use glommio::LocalExecutorBuilder;
use glommio::Placement;

use super::*;
use crate::io::BlockPool;
use crate::io::Clock;
use crate::io::SystemClock;
use crate::io::WRITE_SIZE;
use crate::io::conformance::conforms;
use crate::io::conformance::directory_on_disk;

fn on_glommio<T: Send + 'static, F: Future<Output = T> + 'static>(main: impl FnOnce() -> F + Send + 'static) -> T {
    let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(16 * WRITE_SIZE);
    builder.spawn(main).unwrap().join().unwrap()
}

#[test]
fn it_conforms() {
    let directory = directory_on_disk();
    let root = directory.path().to_owned();
    on_glommio(move || async move {
        let device = DmaDevice::open(&root, BlockingPool::new("names", 2).unwrap()).await.unwrap();
        conforms(&device, &BlockPool::dma(4), &root).await;
    });
}

/// Goal: neither writes nor reads go to the ring that busy-polls, though the very first file that is used is an empty one to
/// read, whose end glommio takes for the success of a polled read.
#[test]
fn nothing_busy_polls() {
    let directory = directory_on_disk();
    let root = directory.path().to_owned();
    std::fs::write(root.join("empty"), []).unwrap();
    std::fs::write(root.join("old"), vec![7; 1 << 20]).unwrap();
    on_glommio(move || async move {
        let device = DmaDevice::open(&root, BlockingPool::new("names", 1).unwrap()).await.unwrap();
        device.open(Path::new("empty")).await.unwrap().close().await.unwrap();
        let file = device.open(Path::new("old")).await.unwrap();
        assert_eq!(file.read_at(0, WRITE_SIZE).await.unwrap().as_slice(), vec![7; 1 << 20]);
        file.close().await.unwrap();
        let file = device.create(Path::new("new")).await.unwrap();
        file.write_at(BlockPool::dma(1).acquire().await, WRITE_SIZE, 0).await.unwrap();
        file.close().await.unwrap();
        let stats = glommio::executor().io_stats();
        let (reads, writes) = (stats.main_ring.file_reads(), stats.main_ring.file_writes());
        let polled = stats.poll_ring.file_reads().0 + stats.poll_ring.file_writes().0;
        assert_eq!((reads.0, writes.0, polled), (1, 1, 0));
    });
}

/// Goal: all buffers of a pool lie in the arena that `ExecutorConfig::registered_bytes` asks for, one MiB more than they.
/// Method: they are neighbours in memory, each a megabyte from the next, only if they were cut from one arena.
#[test]
fn the_pool_fits_its_arena() {
    for count in [1, 5, 32, 47] {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory((count + 1) * WRITE_SIZE);
        let inside = builder.spawn(move || async move {
            let pool = BlockPool::dma(count);
            let bufs: Vec<_> = (0..count).map(|_| pool.try_acquire().unwrap()).collect();
            let mut at: Vec<usize> = bufs.iter().map(|buf| buf.as_slice().as_ptr().addr()).collect();
            at.sort_unstable();
            at.windows(2).all(|pair| pair[1] - pair[0] == WRITE_SIZE)
        });
        assert!(inside.unwrap().join().unwrap(), "{count} buffers");
    }
}

#[test]
fn its_clock_sleeps() {
    on_glommio(|| async {
        let clock = SystemClock::glommio();
        let start = clock.monotonic();
        clock.sleep(Duration::from_millis(5)).await;
        assert!(clock.monotonic() - start >= Duration::from_millis(5));
    });
}
