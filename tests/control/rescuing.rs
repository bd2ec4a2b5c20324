//! Orders about sessions whose writer is gone.

use tessera::auth::OrderError;
use tessera::auth::OrderSealer;
use tessera::catalog::Catalog;
use tessera::model::Order;
use tessera::model::OrderVerb;
use tessera::model::Refusal;
use tessera::model::SessionId;
use tessera::model::SessionState;
use tessera::session::SessionError;

use crate::fixture::House;
use crate::fixture::NOW;
use crate::fixture::ORDER_KEY;
use crate::fixture::directory;
use crate::fixture::push;

fn order(verb: OrderVerb, session: SessionId) -> Order {
    Order { verb, session, expires_at_ns: NOW + 1 }
}

async fn obey(house: &House, order: Order) -> Result<(), SessionError> {
    house.sessions.obey(order, &OrderSealer::new(ORDER_KEY).seal(&order)).await
}

fn refused(outcome: Result<(), SessionError>) -> Refusal {
    match outcome {
        Err(SessionError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Goal: without the key, and after its time, an order does nothing, whatever it names.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_key_gives_no_orders() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    house.write(token, "drive/imu", &[1]).await;
    for verb in [OrderVerb::Finalize, OrderVerb::FinalizeWritten, OrderVerb::Discard] {
        let given = order(verb, session.id);
        let seal = OrderSealer::new([8; 32]).seal(&given);
        let outcome = house.sessions.obey(given, &seal).await;
        assert!(matches!(outcome, Err(SessionError::Order(OrderError::Seal))), "{outcome:?}");
        let outcome = obey(&house, Order { expires_at_ns: NOW, ..given }).await;
        assert!(matches!(outcome, Err(SessionError::Order(OrderError::Expired))), "{outcome:?}");
    }
    assert_eq!(house.catalog.session(session.id).await.unwrap().head.state, SessionState::Open);
    house.stop();
}

/// Goal: an order that is heard again, or later, changes nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_heard_twice_does_no_more_than_once() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    house.write(token, "drive/imu", &[1, 2]).await;
    obey(&house, order(OrderVerb::Finalize, session.id)).await.unwrap();
    let head = house.catalog.session(session.id).await.unwrap().head;
    assert_eq!(head.state, SessionState::Final);
    assert!(house.manifest(session.id).exists());
    for verb in [OrderVerb::Finalize, OrderVerb::FinalizeWritten] {
        obey(&house, order(verb, session.id)).await.unwrap();
    }
    assert_eq!(refused(obey(&house, order(OrderVerb::Discard, session.id)).await), Refusal::SessionFinal);
    assert_eq!(house.catalog.session(session.id).await.unwrap().head, head);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_never_written_are_left_out_only_when_that_is_asked_for() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    house.topic(token, "drive/never").await;
    // Nothing would stay: nothing is deleted.
    assert_eq!(refused(obey(&house, order(OrderVerb::FinalizeWritten, session.id)).await), Refusal::SessionEmpty);
    let running = house.topic(token, "drive/running").await;
    let mut put = house.begin(&running).await.unwrap();
    push(&mut put, &[1]).await.unwrap();
    assert_eq!(refused(obey(&house, order(OrderVerb::FinalizeWritten, session.id)).await), Refusal::TopicReceiving);
    assert_eq!(house.catalog.session(session.id).await.unwrap().topics.len(), 2);
    put.close().await.unwrap();
    assert_eq!(refused(obey(&house, order(OrderVerb::Finalize, session.id)).await), Refusal::TopicWithoutPut);
    obey(&house, order(OrderVerb::FinalizeWritten, session.id)).await.unwrap();
    let topics = house.catalog.session(session.id).await.unwrap().topics;
    let names: Vec<String> = topics.iter().map(|topic| topic.head.name.to_string()).collect();
    assert_eq!(names, ["drive/running"]);
    house.stop();
}
