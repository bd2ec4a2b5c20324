//! What a client sees of single calls: statuses, compression, gets, the end of a server.

use std::time::Duration;

use arrow_flight::Ticket;
use futures::StreamExt;
use futures::stream;
use tessera::flight::transport::TransportConfig;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::harness::MIB;
use crate::harness::action;
use crate::harness::messages;
use crate::harness::put;
use crate::harness::start;
use crate::harness::until;
use crate::harness::within;

#[tokio::test]
async fn an_early_refusal_is_seen_with_code_and_text_while_the_client_writes() {
    let server = start(64 * MIB, TransportConfig::default()).await;
    let client = server.client().await;
    for _ in 0..300 {
        // More of them than h2 remembers by default: what is still on its way must not count as an offence.
        let status = within("a refusal", put(client.clone(), "refuse", 20, 64 << 10)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "bad “topic” 100%"));
    }
    assert_eq!(put(client, "drain", 3, 1000).await.unwrap(), "2000");
}

#[tokio::test]
async fn a_panic_ends_its_call_as_internal_and_nothing_else() {
    let server = start(64 * MIB, TransportConfig::default()).await;
    let client = server.client().await;
    let held = tokio::spawn(put(client.clone(), "hold", 3, 1000));
    until("a put is held", || server.logged("holding")).await;
    assert_eq!(within("a put", put(client.clone(), "panic", 3, 1000)).await.unwrap_err().code(), Code::Internal);
    assert_eq!(within("an action", action(client.clone(), "panic")).await.unwrap_err().code(), Code::Internal);
    server.release.send_replace(true);
    assert_eq!(within("the held put", held).await.unwrap().unwrap(), "2000");
}

#[tokio::test]
async fn gzip_is_understood_on_every_path() {
    let server = start(64 * MIB, TransportConfig::default()).await;
    let mut client = server.client().await.send_compressed(CompressionEncoding::Gzip);
    let mut replies = client.do_put(messages("drain", 4, MIB)).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap().unwrap().app_metadata, (3 * MIB).to_string());
    let mut got = client.do_get(Ticket::new("2x10")).await.unwrap().into_inner();
    assert_eq!(got.message().await.unwrap().unwrap().data_body, vec![7; 10]);
    let unsupported = server.client().await.send_compressed(CompressionEncoding::Gzip);
    // tonic's generated service is built without gzip in this test: it says so.
    assert_eq!(action(unsupported, "hello").await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_message_larger_than_the_budget_or_the_limit_is_refused_with_the_way_out() {
    let server = start(MIB, TransportConfig { message_bytes_max: 4 * MIB, ..TransportConfig::default() }).await;
    let client = server.client().await;
    let budget = within("a put", put(client.clone(), "drain", 2, 2 * MIB)).await.unwrap_err();
    assert_eq!(budget.code(), Code::ResourceExhausted);
    assert!(budget.message().contains("raise the budget"), "{budget:?}");
    let limit = within("a put", put(client, "drain", 2, 5 * MIB)).await.unwrap_err();
    assert_eq!(limit.code(), Code::ResourceExhausted);
    assert!(limit.message().contains("connections.message_bytes_max"), "{limit:?}");
    assert_eq!(server.budget.in_use(), 0);
}

#[tokio::test]
async fn a_get_brings_every_byte_and_stops_when_the_client_leaves() {
    let server = start(64 * MIB, TransportConfig::default()).await;
    let mut client = server.client().await.max_decoding_message_size(64 * MIB);
    let mut got = client.do_get(Ticket::new("3x9000000")).await.unwrap().into_inner();
    for _ in 0..3 {
        let message = within("a message", got.message()).await.unwrap().unwrap();
        assert!(message.data_body.len() == 9_000_000 && message.data_body.iter().all(|byte| *byte == 7));
    }
    assert!(got.message().await.unwrap().is_none());
    let unknown = client.do_get(Ticket::new("none")).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "no ticket none"));
    let large = client.do_get(Ticket::new(vec![b'x'; 5000])).await.unwrap_err();
    assert_eq!(large.code(), Code::InvalidArgument);

    let endless = client.do_get(Ticket::new("1000000x1000000")).await.unwrap().into_inner();
    drop(endless);
    until("the handler is told", || server.logged("get: client gone")).await;
}

#[tokio::test]
async fn a_stopping_server_lets_puts_end_and_takes_no_new_calls() {
    let server = start(64 * MIB, TransportConfig::default()).await;
    let client = server.client().await;
    let held = tokio::spawn(put(client.clone(), "hold", 5, MIB));
    until("a put is held", || server.logged("holding")).await;
    server.drain(Duration::from_secs(600));
    let refused = within("a refusal", async {
        loop {
            if let Err(status) = action(client.clone(), "hello").await {
                return status;
            }
        }
    });
    assert_eq!(refused.await.code(), Code::Unavailable);
    server.release.send_replace(true);
    assert_eq!(within("the held put", held).await.unwrap().unwrap(), (4 * MIB).to_string());
    within("the server's end", server.task).await.unwrap();
}

#[tokio::test]
async fn a_put_that_outlives_the_time_to_stop_is_cut_off() {
    let server = start(64 * MIB, TransportConfig::default()).await;
    let mut client = server.client().await;
    let endless = messages("drain", 2, 1000).chain(stream::pending());
    let call = tokio::spawn(async move { client.do_put(endless).await?.into_inner().message().await });
    until("the put runs", || server.budget.in_use() == 0 && !server.task.is_finished()).await;
    server.drain(Duration::ZERO);
    within("the server's end", server.task).await.unwrap();
    assert!(within("the put", call).await.unwrap().is_err());
}
