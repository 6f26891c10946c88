using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Reads of an open shard: from this replica as it stands, or joined from a majority. A quorum read never stores what it joined (an object without the dots that explain it would let equal
/// clocks hide unequal data); it repairs by pulling from whoever knew more.
/// </summary>
internal sealed class OpenReads(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    ReplicaOptions options,
    ReplicaClock clock,
    DottedReplica dotted,
    DottedJournal journal,
    RecordLoader loader,
    IPeerTransport transport,
    PeerReachability peers,
    OpenFreshness freshness,
    OpenSessions sessions,
    CompletionSink completions,
    OpenHealing healing,
    OpenExpirer expirer)
{
    private readonly ArrayBufferWriter<byte> _message = new(256);

    /// <summary>Whether the data here is what the regime in force says that it is. A read that waited for the disk is refused otherwise.</summary>
    public Func<bool> MayServe { get; init; } = () => true;

    public int PendingCount => Quorum.Count;

    private QuorumReads Quorum => field ??= new QuorumReads(descriptor, places, options, clock, dotted, journal, transport, peers, completions, healing) { OnCompleted = Complete };

    public static ReadOnlyMemory<byte> EncodeVersion(DottedObject filled)
    {
        // One live dot and a context of three actors: 55 bytes or so.
        var output = new ArrayBufferWriter<byte>(64);
        ObjectVersion.Of(filled).Encode(output);
        return output.WrittenMemory;
    }

    public void Submit(in ClientOperation operation)
    {
        if (operation.Level == ReadLevel.Bounded && freshness.ConfirmedMs > operation.MaxStalenessMs)
        {
            freshness.Await(operation, Serve);
        }
        else
        {
            ServeNow(operation);
        }
    }

    /// <summary>Another replica gathers a quorum.</summary>
    public void Answer(NodeId from, ReadRequest request)
    {
        if (!MayServe())
        {
            return;
        }

        if (!journal.TryFind(request.Key.Span, out DottedObject stored))
        {
            LoadFirst(from, request);
            return;
        }

        _message.ResetWrittenCount();
        new ReadResponse(request.Operation, dotted.IsRecovering || IsUnknown(stored), dotted.Fill(request.Key, stored)).Encode(_message);
        transport.Send(descriptor.Shard, from, DottedMessageKind.ReadResponse, _message.WrittenSpan);
    }

    public void OnResponse(NodeId from, ReadResponse response) => Quorum.OnResponse(from, response, counts: !response.Recovering);

    public void OnReachabilityChanged() => Quorum.OnReachabilityChanged();

    public void OnTick() => Quorum.OnTick();

    public void FailAll(RefusalCode code, string reason) => Quorum.FailAll(code, reason);

    private void Serve(ClientOperation operation) => ServeNow(operation);

    private void ServeNow(in ClientOperation operation)
    {
        if (operation.Kind == OperationKind.Scan && operation.OnlyConflicts)
        {
            ListConflicts(operation);
        }
        else if (operation.Kind == OperationKind.Scan)
        {
            Scan(operation);
        }
        else
        {
            Get(operation);
        }
    }

    private void Get(in ClientOperation operation)
    {
        if (!MayServe())
        {
            RefuseSwitched(operation);
            return;
        }

        if (!journal.TryFind(operation.Key.Span, out DottedObject stored))
        {
            LoadFirst(operation);
            return;
        }

        DottedObject filled = dotted.Fill(new Key(operation.Key), stored);
        if (operation.Level == ReadLevel.Quorum && places.Peers.Length > 0)
        {
            Quorum.Gather(operation, filled, counts: !dotted.IsRecovering && !IsUnknown(filled));
        }
        else
        {
            Complete(operation, filled, answers: 1, degraded: false);
        }
    }

    /// <summary>On its own, because what a lambda captures is put on the heap at the beginning of its method: <see cref="Get"/> would do so for every read.</summary>
    private void LoadFirst(ClientOperation operation) => loader.Load(RecordSpace.Data, operation.Key.Span, () => Get(operation));

    private void LoadFirst(NodeId from, ReadRequest request) => loader.Load(RecordSpace.Data, request.Key.Span, () => Answer(from, request));

    private void RefuseSwitched(in ClientOperation operation) =>
        completions.Refuse(operation, RefusalCode.Switching, "The keyspace has changed its mode while the read waited for the disk; try again.");

    /// <summary>In memory only, absence says nothing: the key may never have been here, or may have been evicted.</summary>
    private bool IsUnknown(DottedObject stored) => journal.Memory is not null && stored.IsVacant;

    private void Complete(in ClientOperation operation, DottedObject filled, int answers, bool degraded)
    {
        ReadOnlyMemory<byte> position = answers > 1 ? sessions.Joined(operation, filled.Context) : sessions.Now(operation);
        if (position.Length > SessionPosition.MaxBytes)
        {
            completions.Refuse(operation, RefusalCode.TooLarge, OpenSessions.TooLong);
            return;
        }
        bool hides = descriptor.Conflicts == ConflictRule.LastWriterWins;

        // A view: what has expired is hidden here until a dotted delete takes it away. Where the newest wins and has expired, nothing older comes to light again.
        DottedObject alive = (hides ? filled.KeepWinner() : filled).AliveAt(expirer.NowFor(operation.Key.Span));
        bool found = !alive.IsEmpty;
        DottedValue winner = found ? alive.Winner : default;
        completions.Add(new Completion
        {
            Handle = operation.Handle,
            Outcome = Outcome.Done,
            Found = found,
            Value = winner.Value,
            ExpiresInMs = ViewReader.ExpiresIn(winner.ExpiresMs, clock),
            Version = EncodeVersion(filled),
            Siblings = alive.SiblingCount > 1 ? SiblingsOf(alive) : null,
            HiddenLosers = hides && found ? filled.SiblingCount - 1 : 0,
            Acknowledgements = answers,
            Degraded = degraded || dotted.IsRecovering,
            StalenessMs = answers > 1 ? 0 : AgeFor(operation),
            Session = position,
        });
    }

    /// <summary>The keys that have concurrent values, from their index: without values, and without looking at any other key.</summary>
    private void ListConflicts(ClientOperation operation) =>
        journal.Scan(RecordSpace.Conflicts, operation.Key, operation.After, operation.Limit, options.ScanPageBytes, page =>
        {
            if (!MayServe())
            {
                RefuseSwitched(operation);
                return;
            }

            completions.Add(new Completion
            {
                Handle = operation.Handle,
                Outcome = Outcome.Done,
                Items = [.. page.Records.Select(record => new ScanItem(record.Key, default, LogIndex.Zero, default, ConflictIndex.CountOf(record.Record.Span)))],
                More = page.More,
                Acknowledgements = 1,
                Degraded = dotted.IsRecovering,
                StalenessMs = AgeFor(operation),
            });
        });

    private void Scan(ClientOperation operation)
    {
        VersionVector clockBase = dotted.FillBase;
        journal.Scan(RecordSpace.Data, operation.Key, operation.After, operation.Limit, options.ScanPageBytes, page =>
        {
            if (!MayServe())
            {
                RefuseSwitched(operation);
                return;
            }

            var items = new List<ScanItem>(page.Records.Count);
            foreach (ScannedRecord record in page.Records)
            {
                DottedObject filled = DottedObject.Decode(record.Record).Fill(clockBase);
                DottedObject shown = descriptor.Conflicts == ConflictRule.LastWriterWins ? filled.KeepWinner() : filled;
                DottedObject alive = shown.AliveAt(expirer.NowFor(record.Key.Span));
                if (!alive.IsEmpty)
                {
                    DottedValue winner = alive.Winner;
                    items.Add(new ScanItem(record.Key, winner.Value, LogIndex.Zero, EncodeVersion(filled), alive.SiblingCount, ViewReader.ExpiresIn(winner.ExpiresMs, clock)));
                }
            }

            if (items.Count == 0 && page.More)
            {
                // A page of nothing but deleted keys whose records still fade: go on behind it.
                Scan(operation with { After = page.Records[^1].Key });
                return;
            }

            ReadOnlyMemory<byte> position = sessions.Now(operation);
            if (position.Length > SessionPosition.MaxBytes)
            {
                completions.Refuse(operation, RefusalCode.TooLarge, OpenSessions.TooLong);
                return;
            }

            completions.Add(new Completion
            {
                Handle = operation.Handle,
                Outcome = Outcome.Done,
                Items = items,
                More = page.More,
                Acknowledgements = 1,
                Degraded = dotted.IsRecovering,
                StalenessMs = AgeFor(operation),
                Session = position,
            });
        });
    }

    private uint AgeFor(in ClientOperation operation) => operation.Level == ReadLevel.Bounded ? freshness.ConfirmedMs : freshness.EstimateMs;

    public static List<SiblingView> SiblingsOf(DottedObject alive)
    {
        var siblings = new List<SiblingView>(alive.SiblingCount);
        foreach (DottedValue value in alive.Siblings())
        {
            siblings.Add(new SiblingView(value.Value, (ulong)value.Timestamp.PhysicalMs, value.Dot));
        }

        return siblings;
    }
}
