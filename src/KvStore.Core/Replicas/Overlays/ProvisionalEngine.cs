using System.Numerics;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// What a replica of an adaptive shard does when it has had no contact with a leader for a while (<see cref="LeaderContact"/>): it serves on, beside the ordered engine, which goes on following the group.
/// <list type="number">
/// <item>A write is dotted by an actor of this replica that is new in each such episode, with what this replica has seen of the key as its context, and goes into the overlay, never into the base.</item>
/// <item>Every replica that can be reached gets the record. Async: answered when it is durable here; sync: when it is durable at all that can be reached. The answer says at how many.</item>
/// <item>Reads are answered from the applied state with the overlay on top.</item>
/// <item>What needs one order of all writes is refused, with the reason.</item>
/// </list>
/// Every answer carries <see cref="Regime.Provisional"/>. When there is a leader again, <see cref="HandIn"/> brings the overlay into the log.
/// </summary>
internal sealed class ProvisionalEngine
{
    private const int TicksBetweenResends = 20;

    /// <summary>A write on its way to other replicas. Those that have no room for it are not waited for.</summary>
    private readonly record struct Sharing(Key Key, ulong Declined);

    private readonly ShardDescriptor _descriptor;
    private readonly RegimeState _regimes;
    private readonly ReplicaPlaces _places;
    private readonly ReplicaOptions _options;
    private readonly ReplicaClock _clock;
    private readonly KvStateMachine _stateMachine;
    private readonly ViewState _view;
    private readonly RecordLoader _loader;
    private readonly PeerReachability _peers;
    private readonly CompletionSink _completions;
    private readonly Overlay _overlay;
    private readonly OverlayExchange _exchange;
    private readonly ProvisionalSessions _sessions;
    private readonly ProvisionalReads _reads;
    private readonly LeaderContact _contact;
    private readonly Random _random;
    private readonly PendingOpenWrites _writes;
    private readonly Dictionary<ulong, Sharing> _sharing = [];
    private readonly OpenRequests _requests = new();
    private ActorId _actor;
    private ulong _minted;
    private int _ticks;
    private long _lastContactMs;

    public ProvisionalEngine(in ReplicaParts parts, ProvisionalAfter after, Random random)
    {
        _descriptor = parts.Descriptor;
        _regimes = parts.Regimes;
        _places = parts.Places;
        _options = parts.Options;
        _clock = parts.Clock;
        _stateMachine = parts.StateMachine;
        _view = parts.View;
        _loader = parts.Loader;
        _peers = parts.Peers;
        _completions = parts.Completions;
        _overlay = parts.Overlay;
        _random = random;
        _writes = new PendingOpenWrites(parts.Places);
        _exchange = new OverlayExchange(parts.Descriptor, parts.Places, parts.Clock, parts.Overlay, parts.Peers, parts.Transport);
        _contact = new LeaderContact(after.Ms);
        _contact.Start(parts.Clock.NowMs);
        _lastContactMs = parts.Clock.NowMs;
        _sessions = new ProvisionalSessions(parts.Regimes, parts.View, parts.Overlay);
        _reads = new ProvisionalReads(parts.Options, parts.Storage, parts.View, parts.Loader, parts.Completions, parts.Overlay, parts.StateMachine.Accounted, _sessions, EstimateStalenessMs);
    }

    /// <summary>The replica answers provisionally now.</summary>
    public bool IsServing => _contact.IsProvisional;

    public long Episodes => _contact.Episodes;

    public int PendingCount => _writes.Count;

    public bool IsQuiet => !IsServing && PendingCount == 0 && _exchange.IsIdle;

    /// <summary>Whether this replica should answer the operation itself and provisionally: while it serves so, and afterwards a read of what it has, as long as that includes unmerged writes. How old a provisional answer is can't be bounded.</summary>
    public bool Takes(in ClientOperation operation) => operation.Level != ReadLevel.Bounded
        && (IsServing || (!_overlay.IsEmpty && operation.Kind is OperationKind.Get or OperationKind.Scan && operation.Level == ReadLevel.Eventual && !operation.RequireStrong));

    public void SetProvisionalAfter(ProvisionalAfter after) => _contact.AfterMs = after.Ms;

    public void Submit(in ClientOperation operation)
    {
        if (!Admit(operation))
        {
            return;
        }

        if (PendingCount >= _options.MaxPending)
        {
            Refuse(operation, RefusalCode.Overloaded, "Too many operations wait on this shard; slow down and try again.");
        }
        else if (operation.Kind is OperationKind.Get or OperationKind.Scan)
        {
            _reads.Serve(operation);
        }
        else
        {
            Write(operation);
        }
    }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        switch (kind)
        {
            case DottedMessageKind.OverlayShare:
                _exchange.Receive(from, OverlayShare.Decode(payload));
                break;
            case DottedMessageKind.OverlayShared:
                OnShared(from, OverlayShared.Decode(payload));
                break;
            case DottedMessageKind.OverlayKnown:
                _exchange.OnKnown(from, payload);
                break;
            default:
                break;
        }
    }

    /// <summary>More of the overlay's log is durable.</summary>
    public void OnDurable()
    {
        _exchange.OnDurable();
        AnswerSatisfied();
    }

    public void OnReachabilityChanged() => AnswerSatisfied();

    public void OnMembersChanged()
    {
        _writes.OnMembersChanged();
        AnswerSatisfied();
    }

    /// <param name="contactMs">When this replica was last in contact with a leader.</param>
    /// <param name="leads">Whether it leads, with a quorum that answers.</param>
    public void OnTick(long contactMs, bool leads)
    {
        _lastContactMs = Math.Max(_lastContactMs, contactMs);
        if (_contact.Look(_clock.NowMs, _lastContactMs, leads) && IsServing)
        {
            // Drawn anew for each episode, and at each start of a process: a counter that a crash took can then never be minted twice.
            _actor = default;
        }

        foreach (ulong operation in _writes.Unanswered())
        {
            ref PendingOpenWrite write = ref _writes.Find(operation);
            if (write.DeadlineMs <= _clock.NowMs)
            {
                _completions.Add(new Completion
                {
                    Handle = write.Handle,
                    Outcome = Outcome.Unknown,
                    Code = RefusalCode.DeadlineExceeded,
                    Regime = Regime.Provisional,
                    Reason = "Not all reachable replicas confirmed the provisional write in time; it is here and will be merged.",
                });
                _requests.NoteAnswer(operation, new OpenAnswer(OpenAnswerState.Unresolved));
                Forget(operation);
            }
        }

        if (++_ticks % TicksBetweenResends == 0)
        {
            Resend();
        }

        if (IsServing)
        {
            _exchange.OnTick();
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        foreach (ulong operation in _writes.Unanswered())
        {
            _completions.Unknown(_writes.Find(operation).Handle, code, reason);
            Forget(operation);
        }
    }

    /// <summary>Whether the policy lets it be answered provisionally; if it doesn't, the operation is refused here.</summary>
    private bool Admit(in ClientOperation operation)
    {
        RequestClass request = RequestClasses.Of(operation);
        PolicyDecision decision = PartitionPolicy.Decide(_regimes.Current.Mode, ServingRegime.Provisional, _peers.HasMajority, request);

        // A session's gate has seen to it that this overlay holds what the session has seen (C19). A bound on the age can't be kept without a leader.
        bool known = operation is { Kind: OperationKind.Get or OperationKind.Scan or OperationKind.Put or OperationKind.Delete or OperationKind.Transaction, Level: <= ReadLevel.Session };
        if (decision == PolicyDecision.ServeProvisionally && known)
        {
            return true;
        }

        string advice = known
            ? RefusalAdvice.For(_regimes.Current.Mode, ServingRegime.Provisional, _peers.HasMajority, request, decision)
            : "This kind of operation can't be served so: ask a node on the side with a majority.";
        _completions.Add(new Completion
        {
            Handle = operation.Handle,
            Outcome = Outcome.NotDone,
            Code = decision == PolicyDecision.RefuseNotOffered ? RefusalCode.LevelNotOffered : RefusalCode.ProvisionalRefused,
            Regime = Regime.Provisional,
            Missing = _peers.Missing(_clock.NowMs),
            Reason = $"The replica of {_descriptor.Self.Node} has no contact to a leader (missing: {_peers.DescribeMissing(_clock.NowMs)}) and answers provisionally. {advice}",
        });
        return false;
    }

    private void Write(ClientOperation operation)
    {
        if (_view.IsReplacing)
        {
            Refuse(operation, RefusalCode.Recovering, "This replica is taking a snapshot over; try again in a moment.");
            return;
        }

        byte[] command = new byte[WriteCommand.SizeOf(operation, _descriptor.DefaultTtlMs)];
        WriteCommand.Encode(command, operation, LogIndex.Zero, 0, _regimes.Epoch, _descriptor.DefaultTtlMs);
        uint payloadHash = WriteCommand.Decode(command).PayloadHash;
        if (!operation.Request.IsNone && TryAnswerRepeated(operation, payloadHash))
        {
            return;
        }

        if (operation.Epoch.Value != 0 && operation.Epoch < _regimes.Epoch)
        {
            // Its first attempt may have been taken in another regime, of which nothing is remembered here.
            _completions.RefuseForEpoch(operation);
            return;
        }

        var key = new Key(operation.Key);
        if (!_reads.TryFind(key, out DottedObject filled))
        {
            _loader.Load(RecordSpace.Data, operation.Key.Span, () => Write(operation));
            return;
        }

        OverlayRecord? held = _overlay.Find(key);
        if (WhyFull(operation, held) is { } full)
        {
            Refuse(operation, RefusalCode.OverlayFull, full);
            return;
        }

        Mint(operation, payloadHash, filled, held);
    }

    private void Mint(in ClientOperation operation, uint payloadHash, DottedObject filled, OverlayRecord? held)
    {
        if (_actor.IsNone)
        {
            _actor = ActorId.Draw(_random);
            _minted = 0;
        }

        var key = new Key(operation.Key);
        Dot dot = new(_actor, ++_minted);

        VersionVector seen = filled.Context;
        foreach (ref readonly DottedValue live in filled.Values)
        {
            seen = seen.With(live.Dot);
        }

        // What was seen is frozen here: nothing that this replica learns later is ever added to it.
        HybridTimestamp timestamp = _clock.Hybrid.Now((long)_clock.WallMs);
        ulong ttlMs = operation.EffectiveTtlMs(_descriptor.DefaultTtlMs);
        DottedObject written = operation.Kind == OperationKind.Put
            ? DottedObject.Gone(seen).Write(new DottedValue(dot, timestamp, operation.Value) { ExpiresMs = ttlMs == 0 ? 0 : (ulong)timestamp.PhysicalMs + ttlMs })
            : DottedObject.Gone(seen).Write(dot, null, timestamp);
        IEnumerable<OverlayRequest> requests = held?.RequestsBeside(operation.Request) ?? [];
        ulong number = _overlay.Replace(
            new OverlayRecord(
                key,
                written,
                [.. held is null ? [] : held.Dots.ToArray(), dot],
                operation.Request.IsNone ? requests : requests.Append(new OverlayRequest(dot, operation.Request, payloadHash)),
                _regimes.Epoch,
                held?.SinceMs ?? _clock.WallMs),
            SyncUrgency.Now);
        bool waits = _regimes.Current.Mode.Replication == Replication.Sync && _places.Peers.Length > 0;
        ulong pending = _writes.Add(new PendingOpenWrite
        {
            Handle = operation.Handle,
            DeadlineMs = operation.DeadlineMs,
            Number = number,
            Dot = dot,
            Version = ProvisionalReads.EncodeVersion(written),
            Session = _sessions.After(operation, dot),
        });
        _sharing.Add(pending, new Sharing(Key.CopyOf(key.Span), 0));
        _requests.Remember(operation, pending);
        _exchange.Share(key, waits ? pending : 0, heldBy: 0);
    }

    /// <summary>Whether the request was made before: through the log, or here, or at a replica whose overlay has come here.</summary>
    private bool TryAnswerRepeated(in ClientOperation operation, uint payloadHash)
    {
        if (_stateMachine.TryAnswerRepeated(operation.Request, payloadHash, out ApplyResult applied))
        {
            _completions.Add(new Completion
            {
                Handle = operation.Handle,
                Outcome = applied.Outcome,
                Code = applied.Code,
                OrderedVersion = applied.Version,
                Acknowledgements = PartitionPolicy.Majority(_places.Members.Config.Voters.Length),
                Session = _sessions.Now(operation),
            });
            return true;
        }

        if (!_overlay.TryFindRequest(operation.Request, out OverlayRequest found))
        {
            bool expired = _overlay.HasExpired(operation.Request);
            if (expired)
            {
                _completions.Unknown(operation.Handle, RefusalCode.RequestExpired, "The client has declared this request finished; whether it took effect can't be told. Read the key before writing again.");
            }

            return expired;
        }

        if (found.PayloadHash != payloadHash)
        {
            Refuse(operation, RefusalCode.RequestReused, "The request id was used for another write; draw a new one for each write.");
        }
        else if (_requests.TryRepeat(operation, out ulong earlier))
        {
            AnswerRepeated(operation, earlier);
        }
        else
        {
            ReadOnlyMemory<byte> version = _overlay.Find(new Key(operation.Key)) is { } held ? ProvisionalReads.EncodeVersion(held.Object) : default;
            _completions.Add(Provisional(operation.Handle, version, copies: 1) with { Session = _sessions.Now(operation) });
        }

        return true;
    }

    private void AnswerRepeated(in ClientOperation operation, ulong earlier)
    {
        ref PendingOpenWrite write = ref _writes.Find(earlier);
        if (!System.Runtime.CompilerServices.Unsafe.IsNullRef(ref write))
        {
            write.PassTo(operation, _sessions.Now(operation), _completions);
            return;
        }

        OpenAnswer answer = _requests.AnswerOf(earlier);
        if (answer.State == OpenAnswerState.Done)
        {
            _completions.Add(Provisional(operation.Handle, answer.Version, answer.Acknowledgements) with { Session = _sessions.Now(operation) });
            return;
        }

        _completions.Unknown(operation.Handle, RefusalCode.DeadlineExceeded, "The first attempt ran out of time before all reachable replicas had confirmed it; it is here and will be merged.");
    }

    private string? WhyFull(in ClientOperation operation, OverlayRecord? held)
    {
        if (_overlay.IsFullFor(operation.Key.Length + operation.Value.Length))
        {
            return $"{_overlay.Bytes} bytes of provisional writes wait here to be merged, the bound is {_options.OverlayBytes}: no more are taken until a leader can be reached. Ask a node on the majority's side.";
        }

        if (_overlay.AgeMs > (ulong)_options.OverlayAgeMs)
        {
            return $"The oldest provisional write has waited for {_overlay.AgeMs / 1000} s to be merged, the bound is {_options.OverlayAgeMs / 1000} s: no more are taken until a leader can be reached.";
        }

        return held?.Dots.Length >= OverlayRecord.MaxDots / 2
            ? $"The key was written {held.Dots.Length} times without a leader: no more is taken of it until that is merged."
            : null;
    }

    private void OnShared(NodeId from, in OverlayShared shared)
    {
        ref PendingOpenWrite write = ref _writes.Find(shared.Operation);
        int place = _places.PeerIndexOf(from);
        if (place < 0 || System.Runtime.CompilerServices.Unsafe.IsNullRef(ref write))
        {
            return;
        }

        if (shared.Taken)
        {
            write.HeldBy |= ReplicaPlaces.BitOf(place);
        }
        else
        {
            Sharing sharing = _sharing[shared.Operation];
            _sharing[shared.Operation] = sharing with { Declined = sharing.Declined | ReplicaPlaces.BitOf(place) };
        }

        AnswerIfSatisfied(shared.Operation, ref write);
    }

    private void AnswerSatisfied()
    {
        foreach (ulong operation in _writes.DurableUpTo(_overlay.Durable))
        {
            AnswerIfSatisfied(operation, ref _writes.Find(operation));
        }
    }

    /// <summary>Async: durable here. Sync: durable at every voter that can be reached and has room.</summary>
    private void AnswerIfSatisfied(ulong operation, ref PendingOpenWrite write)
    {
        if (write.Number > _overlay.Durable)
        {
            return;
        }

        if (_regimes.Current.Mode.Replication == Replication.Sync && !_peers.HaveAllReachableVoters(write.HeldBy | _sharing[operation].Declined))
        {
            return;
        }

        int copies = 1 + BitOperations.PopCount(write.HeldBy);
        _completions.Add(Provisional(write.Handle, write.Version, copies) with { Session = write.Session });
        _requests.NoteAnswer(operation, new OpenAnswer(OpenAnswerState.Done, copies, false, write.Version));
        Forget(operation);
    }

    private Completion Provisional(ulong handle, ReadOnlyMemory<byte> version, int copies) => new()
    {
        Handle = handle,
        Outcome = Outcome.Done,
        Regime = Regime.Provisional,
        Version = version,
        Acknowledgements = copies,
        Degraded = _regimes.Current.Mode.Replication == Replication.Sync && copies < PartitionPolicy.Majority(_places.Members.Config.Voters.Length),
    };

    private void Resend()
    {
        foreach (ulong operation in _writes.Unanswered())
        {
            Key key = _sharing[operation].Key;
            if (_overlay.Find(key) is not null)
            {
                _exchange.Share(key, operation, _writes.Find(operation).HeldBy);
            }
        }
    }

    private void Forget(ulong operation)
    {
        _writes.Remove(operation);
        _sharing.Remove(operation);
    }

    private void Refuse(in ClientOperation operation, RefusalCode code, string reason) =>
        _completions.Add(new Completion { Handle = operation.Handle, Outcome = Outcome.NotDone, Code = code, Regime = Regime.Provisional, Reason = reason });

    private uint EstimateStalenessMs() => (uint)Math.Clamp(_clock.NowMs - _lastContactMs, 0, uint.MaxValue);
}
