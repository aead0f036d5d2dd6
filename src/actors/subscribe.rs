//! A subscription of an actor to a snapshot that another one publishes.

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context};
use tokio::sync::watch;

/// Calls `react` after every change, until the actor or the publisher ends.
pub(super) fn on_change<A, T>(
    mut published: watch::Receiver<T>,
    react: fn(&mut A, &mut Context<A>),
    ctx: &mut Context<A>,
) where
    A: Actor<Context = Context<A>>,
    T: Send + Sync + 'static,
{
    let changed = async move { published.changed().await.map(|()| published) };
    ctx.spawn(wrap_future(changed).map(move |published, actor: &mut A, ctx| {
        if let Ok(published) = published {
            react(actor, ctx);
            on_change(published, react, ctx);
        }
    }));
}
