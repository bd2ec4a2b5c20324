//! The hand-off from the network's threads to a shard.

use std::thread;

use futures::executor::block_on;

use tessera::runtime::mailbox;

use crate::case::Amount;
use crate::case::Case;
use crate::case::Ready;
use crate::case::Scale;
use crate::case::fold;

/// As a shard's.
const COUNT_MAX: usize = 64;
const BYTES_MAX: usize = 64 << 20;
/// What a message of 100 small rows weighs.
const WEIGHT: usize = 8 << 10;

pub fn cases(scale: Scale) -> Vec<Case> {
    let count = scale.pick(10_000, 200_000) as u64;
    vec![
        across("mailbox/two-threads", 0x5e95_9eaa_717f_3f92, count),
        within("mailbox/one-thread", 0x5e95_9eaa_717f_3f92, count),
    ]
}

/// One sends as fast as it can, the other takes: with all the waking up that comes of it.
fn across(name: &'static str, digest: u64, count: u64) -> Case {
    Case::new(name, digest, move || {
        Ready::new(Amount::Messages(count), move |watch| {
            let (sender, mut receiver) = mailbox(COUNT_MAX, BYTES_MAX);
            watch.time(|| {
                thread::scope(|scope| {
                    scope.spawn(move || {
                        block_on(async {
                            for number in 0..count {
                                sender.send(number, WEIGHT).await.expect("a receiver");
                            }
                        })
                    });
                    block_on(async {
                        let mut digest = 0;
                        while let Some(number) = receiver.recv().await {
                            digest = fold(digest, number);
                        }
                        digest
                    })
                })
            })
        })
    })
}

/// The same work without the threads: what can be counted.
fn within(name: &'static str, digest: u64, count: u64) -> Case {
    Case::new(name, digest, move || {
        Ready::new(Amount::Messages(count), move |watch| {
            let (sender, mut receiver) = mailbox(COUNT_MAX, BYTES_MAX);
            watch.time(|| {
                let send = async {
                    for number in 0..count {
                        sender.send(number, WEIGHT).await.expect("a receiver");
                    }
                    drop(sender);
                };
                let receive = async {
                    let mut digest = 0;
                    while let Some(number) = receiver.recv().await {
                        digest = fold(digest, number);
                    }
                    digest
                };
                block_on(futures::future::join(send, receive)).1
            })
        })
    })
}
