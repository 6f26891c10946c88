using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Replicas scrub one another: one that has nothing else to tell says what its data comes to, and a peer at the same clock compares. Equal clocks promise equal data, so a difference is a bug or a damaged disk. It is
/// reported, loudly, and not repaired: which of the two is right can't be told from here.
/// </summary>
internal sealed class DigestScrub(ShardDescriptor descriptor, ReplicaPlaces places, DottedReplica dotted, IPeerTransport transport)
{
    private readonly SortedDictionary<NodeId, int> _differences = [];
    private readonly ArrayBufferWriter<byte> _message = new(256);

    /// <summary>How often a comparison with a peer was made, since the start.</summary>
    public long Comparisons { get; private set; }

    /// <summary>How often one came out unequal.</summary>
    public long Found { get; private set; }

    /// <summary>In how many buckets the data differs from that of some peer, as of the last comparison with each.</summary>
    public int DifferentBuckets => _differences.Count == 0 ? 0 : _differences.Values.Max();

    private bool MayCompare => dotted.Digests.AreComplete && !dotted.IsRecovering;

    /// <summary>Tells all peers; who stands at another clock has no use for it.</summary>
    public void Offer()
    {
        if (MayCompare)
        {
            BucketDigests digests = dotted.Digests.Capture();
            foreach (NodeId peer in places.Peers)
            {
                Send(peer, digests, withSums: false);
            }
        }
    }

    public void Receive(NodeId from, DigestMessage told)
    {
        if (!MayCompare || !told.Clock.Equals(dotted.Clock))
        {
            return;
        }

        BucketDigests digests = dotted.Digests.Capture();
        Comparisons++;
        if (told.Fold == digests.Fold())
        {
            _differences.Remove(from);
            return;
        }

        bool isNews = !_differences.ContainsKey(from);
        _differences[from] = told.Sums is { } sums ? digests.DifferencesTo(sums).Count : Math.Max(1, _differences.GetValueOrDefault(from));
        Found++;
        if (told.Sums is null || isNews)
        {
            // The peer, too, shall know, and in which buckets. It answers once.
            Send(from, digests, withSums: true);
        }
    }

    private void Send(NodeId to, BucketDigests digests, bool withSums)
    {
        _message.ResetWrittenCount();
        new DigestMessage(dotted.Clock, digests.Fold(), withSums ? digests : null).Encode(_message);
        transport.Send(descriptor.Shard, to, DottedMessageKind.Digests, _message.WrittenSpan);
    }
}
