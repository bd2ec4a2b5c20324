//! Goal: streams that wait, for memory or for a handler that does not read, never stop the others of their connection.
//! Method: one connection, windows filled on purpose; everything else must end, and actions must answer meanwhile.

use futures::future::join_all;
use tessera::flight::transport::Pool;
use tessera::flight::transport::TransportConfig;

use crate::harness::MIB;
use crate::harness::action;
use crate::harness::put;
use crate::harness::start;
use crate::harness::until;
use crate::harness::within;

const IMAGE: usize = 25_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_large_puts_share_memory_for_two_messages() {
    let server = start(2 * Pool::charge(IMAGE), TransportConfig::default()).await;
    let client = server.client().await;
    let puts = (0..8).map(|_| put(client.clone(), "drain", 3, IMAGE));
    for sum in within("eight puts", join_all(puts)).await {
        assert_eq!(sum.unwrap(), (2 * IMAGE).to_string());
    }
    until("memory is given back", || server.budget.in_use() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_puts_stop_neither_others_nor_actions() {
    let server = start(256 * MIB, TransportConfig::default()).await;
    let client = server.client().await;
    let held = (0..4).map(|_| tokio::spawn(put(client.clone(), "hold", 33, MIB))).collect::<Vec<_>>();
    until("four puts are held", || server.log.lock().unwrap().len() == 4).await;
    let actions = async {
        for round in 0..20 {
            let text = format!("round {round}");
            assert_eq!(action(client.clone(), &text).await.unwrap(), text);
        }
    };
    let puts = join_all((0..8).map(|_| put(client.clone(), "drain", 5, 2 * MIB)));
    let ((), sums) = within("puts and actions beside held puts", async { tokio::join!(actions, puts) }).await;
    for sum in sums {
        assert_eq!(sum.unwrap(), (8 * MIB).to_string());
    }
    server.release.send_replace(true);
    for sum in within("the held puts", join_all(held)).await {
        assert_eq!(sum.unwrap().unwrap(), (32 * MIB).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_puts_go_on_while_half_of_them_wait() {
    let server = start(256 * MIB, TransportConfig::default()).await;
    let client = server.client().await;
    let held = (0..150).map(|_| tokio::spawn(put(client.clone(), "hold", 3, MIB))).collect::<Vec<_>>();
    until("all are held", || server.log.lock().unwrap().len() == 150).await;
    let puts = join_all((0..150).map(|_| put(client.clone(), "drain", 9, 64 << 10)));
    let actions = async {
        for _ in 0..20 {
            assert_eq!(action(client.clone(), "hello").await.unwrap(), "hello");
        }
    };
    let ((), sums) = within("150 puts beside 150 held ones", async { tokio::join!(actions, puts) }).await;
    for sum in sums {
        assert_eq!(sum.unwrap(), (8 * (64 << 10)).to_string());
    }
    server.release.send_replace(true);
    for sum in within("the held puts", join_all(held)).await {
        assert_eq!(sum.unwrap().unwrap(), (2 * MIB).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_that_wait_for_memory_do_not_stop_actions() {
    let server = start(2 * MIB, TransportConfig::default()).await;
    let all = server.budget.try_acquire(2 * MIB).unwrap();
    let client = server.client().await;
    let puts = (0..8).map(|_| tokio::spawn(put(client.clone(), "drain", 20, MIB))).collect::<Vec<_>>();
    until("puts wait for memory", || server.budget.waiting()).await;
    for _ in 0..20 {
        assert_eq!(within("an action", action(client.clone(), "hello")).await.unwrap(), "hello");
    }
    drop(all);
    for sum in within("the puts", join_all(puts)).await {
        assert_eq!(sum.unwrap().unwrap(), (19 * MIB).to_string());
    }
}

/// Goal: what clients send ahead is bounded over all connections, not for each.
/// Method: puts on eight connections that never take anything, one after the other, each with more than fills its window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_hold_too_much_together_get_no_new_puts() {
    let config = TransportConfig { held_bytes_max: 16 * MIB, ..TransportConfig::default() };
    let server = start(64 * MIB, config).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(server.client().await);
    }
    let (refused, mut refusals) = tokio::sync::mpsc::unbounded_channel();
    let mut begun = 0;
    let status = loop {
        assert!(begun < 512, "512 puts of the smallest window are all that 16 MiB can hold");
        let (client, refused) = (clients[begun % 8].clone(), refused.clone());
        tokio::spawn(async move { refused.send(put(client, "hold", 40, MIB / 4).await) });
        begun += 1;
        let mut status = None;
        until("the put is held or refused", || {
            status = refusals.try_recv().ok();
            status.is_some() || server.log.lock().unwrap().len() == begun
        })
        .await;
        if let Some(status) = status {
            break status.unwrap_err();
        }
    };
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(status.message().contains("at most 16777216"), "{status:?}");
    assert!(begun > 8, "{begun} puts");
    assert_eq!(action(clients[0].clone(), "hello").await.unwrap(), "hello");
    server.release.send_replace(true);
    until("all puts end", || refusals.is_closed() || refusals.len() == begun - 1).await;
    assert_eq!(put(clients[7].clone(), "drain", 3, MIB).await.unwrap(), (2 * MIB).to_string());
}
