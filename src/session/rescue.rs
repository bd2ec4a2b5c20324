//! Orders of whoever runs the server, about sessions whose writer is gone: its token died with it, what it wrote is
//! durable, and nobody else could make it readable.
//!
//! A crash in between leaves what that of a finalize or a delete leaves; the order can be given again.

use std::sync::Arc;

use super::error::SessionError;
use super::finalize::may_finalize;
use super::gate::Gate;
use super::registry::Puts;
use super::sessions::Desk;
use super::sessions::Sessions;
use super::sweep::to_the_end;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::Standing;
use crate::model::Order;
use crate::model::OrderVerb;
use crate::model::Refusal;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::SessionView;
use crate::model::TopicState;

impl Sessions {
    /// Carries out an order. May be repeated: a final session stays final.
    ///
    /// # Errors
    /// [`SessionError::Order`] when it is not sealed for this server or has expired: nothing was looked at then. Else as
    /// [`Self::finalize`] and [`Self::delete_session`]; [`SessionError::Refused`] for a discard of a final session, or of
    /// one that is being written.
    pub async fn obey(&self, order: Order, seal: &[u8; 32]) -> Result<(), SessionError> {
        self.desk.orders.check(&order, seal, self.desk.now()).map_err(SessionError::Order)?;
        tracing::info!(session = %order.session, verb = ?order.verb, "an order of the operator");
        let desk = Arc::clone(&self.desk);
        to_the_end(async move {
            if order.verb == OrderVerb::Discard {
                return desk.discard(order.session).await;
            }
            let _passage = desk.gates.pass(Gate::Session(order.session)).await;
            let session = desk.catalog.session(order.session).await?;
            match order.verb == OrderVerb::FinalizeWritten {
                true => desk.finalize_written(session).await,
                false => desk.finalize(session.head).await.map(drop),
            }
        })
        .await
    }
}

impl Desk {
    /// With its last session a sequence goes too: its name would be taken by nothing.
    async fn discard(&self, id: SessionId) -> Result<(), SessionError> {
        let SessionHead { sequence, sequence_name: name, .. } = self.catalog.session(id).await?.head;
        // In this order, as a delete of the sequence takes them; no session of it begins meanwhile.
        let _sequence = self.gates.pass(Gate::Sequence(name.clone())).await;
        let _session = self.gates.pass(Gate::Session(id)).await;
        if self.catalog.session(id).await?.head.state == SessionState::Final {
            return Err(CatalogError::refused(Entity::Session, id, Refusal::SessionFinal).into());
        }
        // Only the server that records it knows whether its writer is there.
        if self.open.standing(id).await? == Standing::Unknown {
            return Err(CatalogError::refused(Entity::Session, id, Refusal::OtherServer).into());
        }
        // It is there: what it records cannot be had again.
        self.refuse_receiving(id)?;
        self.catalog.delete_session(id).await?;
        let buried = self.bury(&[id]).await;
        // Another server may be beginning one in it.
        match self.catalog.delete_empty_sequence(sequence).await {
            Ok(_) | Err(CatalogError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        buried
    }

    fn refuse_receiving(&self, session: SessionId) -> Result<(), SessionError> {
        match self.registry.runs(Puts::Session(session)) {
            true => Err(CatalogError::refused(Entity::Session, session, Refusal::TopicReceiving).into()),
            false => Ok(()),
        }
    }

    /// Nothing is deleted unless what stays can be finalized.
    async fn finalize_written(&self, mut session: SessionView) -> Result<(), SessionError> {
        if session.head.state == SessionState::Final {
            return Ok(());
        }
        self.refuse_receiving(session.head.id)?;
        let id = session.head.id;
        let unwritten = session.topics.extract_if(.., |topic| topic.head.state == TopicState::Created);
        let unwritten: Vec<_> = unwritten.map(|topic| topic.head).collect();
        may_finalize(&session)?;
        for topic in unwritten {
            self.remove_topic(topic.id, id).await?;
        }
        self.finalize(session.head).await?;
        Ok(())
    }
}
