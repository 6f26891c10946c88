using KvStore.Core.Replicas.Overlays;

namespace KvStore.Core.Replicas;

/// <summary>What the parts of one replica share, from its construction to its end.</summary>
internal readonly record struct ReplicaParts(
    ShardDescriptor Descriptor,
    RegimeState Regimes,
    ReplicaPlaces Places,
    PeerReachability Peers,
    ReplicaOptions Options,
    ReplicaClock Clock,
    IReplicaStorage Storage,
    IPeerTransport Transport,
    KvStateMachine StateMachine,
    ViewState View,
    RecordLoader Loader,
    CompletionSink Completions,
    EarlyAcknowledgements Early,
    LostWriteJournal LostWrites,
    ExpiryIndex Expiries,
    ExpiryScan ExpiryScan,
    Overlay Overlay)
{
    /// <summary>Null: nobody wants to know what changes.</summary>
    public Watching.ChangeFeed? Feed { get; init; }
}
