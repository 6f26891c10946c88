using KvStore.Core.Identity;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The open periods of one replica: when its dotted engine begins, whether it goes on from one period into the next, and what becomes of its data when the log takes over.
/// </summary>
/// <remarks>
/// An engine begins when the opening is durable in the view. So every dotted record of the log belongs to a period that the view knows, and a restart can repeat them without asking which.
/// A replica that was away while the shard was ordered and opened again goes on with the data that it has, whose clock says truly what is in it, and copies what it lacks. One that comes back into an
/// ordered shard has what it alone knows put into its <see cref="Overlay"/>, each key with the context that it had, and takes a snapshot.
/// </remarks>
internal sealed class OpenPeriods(ReplicaParts parts, Random random)
{
    private const int TicksBetweenFlushes = 10;

    private readonly EpisodeTransport _episodes = new(parts.Transport);
    private bool _absorbing;
    private int _openingTicks;

    /// <summary>The dotted engine; null while the log writes.</summary>
    public OpenEngine? Engine { get; private set; }

    /// <summary>The shard is open, and this replica makes sure of that in its view before it takes writes.</summary>
    public bool IsOpening { get; private set; }

    /// <summary>Known once the members are.</summary>
    public ConsensusGroup? Group { get; set; }

    private ShardRegime Regime => parts.Regimes.Current;

    /// <summary>After a start, into an open period: what the view says of the engine is read back next.</summary>
    public void Restore(ReadOnlyMemory<byte> state)
    {
        Engine = Create();
        if (!state.IsEmpty)
        {
            Engine.Restore(RecordSpace.Meta, OpenState.StateKey, state);
        }
    }

    /// <summary>What the log has behind the view is repeated, and the engine takes up its work.</summary>
    public void Resume(RecoveredReplica recovered)
    {
        if (Engine is not { } engine)
        {
            return;
        }

        engine.OnMembersChanged(parts.Places.Members);
        engine.Replay(recovered.Records, parts.View);
        if (!parts.Descriptor.IsFounder && Regime.Episode == LogIndex.Zero)
        {
            engine.BeginIfNewcomer();
        }
        else if (recovered.Records.Count > 0 || recovered.Position != ViewPosition.Zero)
        {
            engine.BeginAnewInMemory();
        }

        Enter(engine);
    }

    /// <summary>A message of a peer's engine. One of another period is dropped.</summary>
    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        if (Engine is { } engine && _episodes.TryUnwrap(ref kind, ref payload))
        {
            engine.Receive(from, kind, payload);
        }
    }

    /// <summary>A committed entry has changed the regime.</summary>
    public void OnRegimeChanged(ShardRegime before)
    {
        switch (Regime.Kind)
        {
            case RegimeKind.Open or RegimeKind.Closing when before.Kind == RegimeKind.Ordered:
                Group!.Ordered.OnOpened();
                IsOpening = true;
                parts.View.Seal();
                parts.Storage.RequestFlush();
                break;
            case RegimeKind.Open or RegimeKind.Closing when Engine is { } engine:
                engine.IsClosing = Regime.Kind == RegimeKind.Closing;
                engine.OnReachabilityChanged();
                break;
            case RegimeKind.Ordered when before.Kind == RegimeKind.Closing:
                Engine!.Retire();
                Forget();
                parts.Regimes.ForgetLogBase();

                // What was on its way from the overlay into the open data is in the baseline: nobody would merge it, and so it would never leave.
                parts.Overlay.OnAccounted();
                break;
            default:
                break;
        }

        if (Regime.Kind == RegimeKind.Closing)
        {
            parts.View.Seal();
            parts.Storage.RequestFlush();
        }
    }

    /// <summary>In every turn and tick: what waited may have become possible.</summary>
    public void Step()
    {
        if (IsOpening && !parts.View.IsReplacing && parts.Storage.DurablePosition.Applied >= Regime.Episode)
        {
            IsOpening = false;
            OpenEngine engine = Create();
            engine.OnMembersChanged(parts.Places.Members);
            Enter(engine);
        }
    }

    public void OnTick()
    {
        if (IsOpening && ++_openingTicks % TicksBetweenFlushes == 0)
        {
            parts.Storage.RequestFlush();
        }

        Step();
        Absorb();
    }

    /// <summary>Part of the log is about to be skipped. Until that is durable nothing is written: it would be taken for a write of the later period.</summary>
    public void OnSkipping()
    {
        if (Engine is { } engine)
        {
            engine.IsClosing = true;
        }
    }

    /// <summary>Part of the log was skipped, into an open period.</summary>
    public void OnSkipped()
    {
        IsOpening = false;
        OpenEngine engine = Engine ?? Create();
        engine.OnMembersChanged(parts.Places.Members);
        Enter(engine);
    }

    /// <summary>A snapshot has replaced the view.</summary>
    public void OnViewReplaced()
    {
        Engine?.Close();
        Forget();
    }

    /// <summary>
    /// The view is about to be replaced by one that accounts for these dots and for the log up to an index: what is here and not there goes into the overlay, with the contexts that it has here.
    /// </summary>
    public void SaveUnaccounted(ReadOnlyMemory<byte> accounted, LogIndex index, Action then)
    {
        if (Engine is not { } engine)
        {
            then();
            return;
        }

        engine.Freeze();
        ShardClock known = accounted.IsEmpty ? new ShardClock() : AccountedDots.ReadClock(accounted);
        known.AdvanceBase(ActorId.Log, index.Value);
        Save(engine, engine.Unaccounted(known, out _), 0, then);
    }

    private OpenEngine Create() => new(parts, _episodes, random);

    private void Enter(OpenEngine engine)
    {
        Engine = engine;
        Group!.Closing.Engine = engine;
        _episodes.Episode = Regime.Episode;
        engine.IsClosing = Regime.Kind == RegimeKind.Closing;
        engine.BeginIfBehind();
        Absorb();
    }

    private void Forget()
    {
        Engine = null;
        IsOpening = false;
        _absorbing = false;
        Group!.Closing.Engine = null;
    }

    private void Save(OpenEngine engine, List<(Key Key, Dot[] Dots)> unaccounted, int next, Action then)
    {
        for (; next < unaccounted.Count; next++)
        {
            (Key key, Dot[] dots) = unaccounted[next];
            if (!engine.TryFill(key, out DottedObject filled))
            {
                int waiting = next;
                parts.Loader.Load(RecordSpace.Data, key.Span, () => Save(engine, unaccounted, waiting, then));
                return;
            }

            parts.Overlay.AddForSwitch(new OverlayRecord(key, filled, dots, [], Regime.Epoch, parts.Clock.WallMs));
        }

        then();
    }

    /// <summary>
    /// What waited to be merged through the log, in a shard that is open again, joins the data here by the contexts that it has (C16), and spreads from here. Not while the shard closes: then the log
    /// gets it after all.
    /// </summary>
    private void Absorb()
    {
        if (Engine is { IsClosing: false } engine && !_absorbing && !parts.Overlay.IsEmpty && !parts.View.IsReplacing)
        {
            List<OverlayRecord> waiting = [.. parts.Overlay.From(null)];

            // Which requests the log has applied is known at once after a skip, what came of them only when it is copied.
            if (engine.HasWholePrefix || waiting.TrueForAll(record => record.Requests.IsEmpty))
            {
                _absorbing = true;
                Absorb(engine, waiting, 0);
            }
        }
    }

    private void Absorb(OpenEngine engine, List<OverlayRecord> records, int next)
    {
        for (; next < records.Count; next++)
        {
            if (Engine != engine || engine.IsClosing || parts.View.IsReplacing)
            {
                _absorbing = false;
                return;
            }

            if (!engine.TryAbsorb(records[next].Key, parts.StateMachine.Merge.WithoutRepeats(records[next], engine.Clock), records[next].Dots))
            {
                int waiting = next;
                parts.Loader.Load(RecordSpace.Data, records[next].Key.Span, () => Absorb(engine, records, waiting));
                return;
            }
        }

        _absorbing = false;
        parts.Overlay.Clear();
    }
}
