using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Benchmarks;

/// <summary>
/// Two production <see cref="DottedReplica"/>s over views in memory. Every message between them is encoded, counted and decoded as on the wire; there is no network and no disk, so times are those of the work itself.
/// </summary>
internal sealed class DottedPair
{
    private readonly ArrayBufferWriter<byte> _message = new(1 << 20);

    public DottedPair(int maxIndexedDots)
    {
        var options = new DottedOptions { MaxIndexedDots = maxIndexedDots, MaxRemembered = maxIndexedDots };
        One = new Side(new ActorId(ActorId.FirstRandom + 1), new NodeId(1), new NodeId(2), options);
        Other = new Side(new ActorId(ActorId.FirstRandom + 2), new NodeId(2), new NodeId(1), options);
    }

    public Side One { get; }

    public Side Other { get; private set; }

    /// <summary>Of all messages of healing so far.</summary>
    public long Bytes { get; private set; }

    public int Messages { get; private set; }

    /// <summary>A write or, without a value, a delete. If <paramref name="to"/> is given it is pushed there.</summary>
    public static void Write(Side at, Key key, byte[]? value, Side? to)
    {
        ReadOnlyMemory<byte>? bytes = value is null ? default(ReadOnlyMemory<byte>?) : new ReadOnlyMemory<byte>(value);
        DottedWrite write = at.Replica.Write(key, at.Stored(key), bytes, HybridTimestamp.FromPhysical(1_700_000_000_000), 0);
        at.Keep(write.Change);
        if (to is not null)
        {
            ReplicateMessage message = ReplicateMessage.Decode(write.Replicate.ToArray());
            to.Keep(to.Replica.Receive(message, to.Stored(message.Key)).Change);
        }
    }

    /// <summary>Both tell their clocks and pull what they lack, as nodes do, until neither lacks anything and both know it.</summary>
    public void Heal()
    {
        for (int round = 0; round < 2; round++)
        {
            Tell(One, Other);
            Tell(Other, One);
        }

        One.Settle();
        Other.Settle();
    }

    /// <summary>The other side lost its disk and copies everything.</summary>
    public void CopyAnew()
    {
        Other = new Side(new ActorId(ActorId.FirstRandom + 3), new NodeId(2), new NodeId(1), One.Options);
        Other.Replica.FullCopy.Begin();
        var keys = One.View.Keys.Order().ToList();
        int next = 0;
        while (!Other.Replica.FullCopy.IsCatchingUp)
        {
            FullCopyRequest request = FullCopyRequest.Decode(Send(Other.Replica.FullCopy.EncodeRequest));
            CopyCapture capture = One.Replica.CaptureForCopy(new NodeId(2), request)!;
            List<(Key, ReadOnlyMemory<byte>)> range = [];
            for (int bytes = 0; next < keys.Count && range.Count < 2_000 && bytes < 1 << 20; next++)
            {
                range.Add((keys[next], One.View[keys[next]]));
                bytes += keys[next].Span.Length + One.View[keys[next]].Length;
            }

            byte[] page = Send(output => FullCopyPage.Encode(output, request, capture, range, last: next == keys.Count));
            Other.Replica.FullCopy.Offer(FullCopyPage.Decode(page), out _);
            (List<DottedChange> changes, _) = Other.Replica.FullCopy.Join(Other.Replica.FullCopy.KeysToJoin([]), Other.Stored);
            changes.ForEach(Other.Keep);
        }

        Pull(Other, One);
        Other.Replica.FullCopy.TryFinish();
    }

    private void Tell(Side from, Side to)
    {
        from.Replica.OnDurable(from.Replica.Number);
        ClockAdvertised told = ClockAdvertised.Decode(Send(from.Replica.Advertise().Encode));
        if (to.Replica.OnClockAdvertised(from.Node, told))
        {
            Pull(to, from);
        }
    }

    private void Pull(Side asker, Side source)
    {
        PullAnswer answer;
        do
        {
            PagePlan plan = source.Replica.AntiEntropy.Plan(PullMessage.Decode(Send(asker.Replica.AntiEntropy.EncodePull)));
            PullPage page = PullPage.Decode(Send(output => source.Replica.AntiEntropy.Build(plan, source.Stored, output)));
            asker.Replica.AntiEntropy.Apply(page, asker.Stored).ForEach(asker.Keep);
            answer = page.Answer;
        }
        while (answer == PullAnswer.More);

        if (answer != PullAnswer.Complete)
        {
            throw new InvalidOperationException($"The pull ended with {answer}.");
        }

        asker.Replica.OnDurable(asker.Replica.Number);
    }

    private byte[] Send(Action<ArrayBufferWriter<byte>> encode)
    {
        _message.ResetWrittenCount();
        encode(_message);
        Bytes += _message.WrittenCount;
        Messages++;
        return _message.WrittenSpan.ToArray();
    }

    /// <summary>One replica and its view.</summary>
    internal sealed class Side(ActorId actor, NodeId node, NodeId peer, DottedOptions options)
    {
        public DottedOptions Options => options;

        public NodeId Node => node;

        public DottedReplica Replica { get; } = new(actor, 0, new ShardClock(), [peer], options);

        public Dictionary<Key, ReadOnlyMemory<byte>> View { get; } = [];

        public DottedObject Stored(Key key) => View.TryGetValue(key, out ReadOnlyMemory<byte> record) ? DottedObject.Decode(record) : DottedObject.Empty;

        public void Keep(DottedChange change)
        {
            if (change.Removes)
            {
                View.Remove(change.Key);
            }
            else
            {
                View[Key.CopyOf(change.Key.Span)] = change.StoredRecord;
            }
        }

        /// <summary>Strips what the clock implies, as the ticks of a node do.</summary>
        public void Settle()
        {
            foreach (Key key in Replica.TakeStrippable(int.MaxValue, int.MaxValue))
            {
                DottedObject stripped = Replica.Strip(Stored(key));
                if (stripped.IsVacant)
                {
                    View.Remove(key);
                    continue;
                }

                ArrayBufferWriter<byte> record = new(128);
                stripped.Encode(record);
                View[key] = record.WrittenMemory;
            }
        }
    }
}
