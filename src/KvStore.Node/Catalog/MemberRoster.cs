using System.Collections.Immutable;
using Google.Protobuf;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Node.Hosting;
using KvStore.Node.Peers;
using KvStore.Storage;

namespace KvStore.Node.Catalog;

/// <summary>Who the members are, as of a revision of the catalog.</summary>
/// <param name="Founders">The replicas of the system shard with which the cluster was founded: what its configuration log begins with, for good.</param>
internal sealed record KnownMembers(ulong Revision, ImmutableArray<CatalogMember> Members, ImmutableArray<NodeId> Removed, ImmutableArray<CatalogReplica> Founders)
{
    public bool IsSameAs(KnownMembers other) => Members.SequenceEqual(other.Members) && Removed.SequenceEqual(other.Removed) && Founders.SequenceEqual(other.Founders);
}

/// <summary>
/// The newest list of members that this node has heard of, kept in the data directory: whom it connects to and lets in, also before it has caught up with the catalog, and with which founders its system shard began, whatever the
/// flags say by now. It only ever goes forward. It decides nothing about quorums: those are in the shards' own logs.
/// </summary>
internal sealed class MemberRoster
{
    private const string FileName = "cluster.members";
    private const uint Format = 1;
    private const int MaxBytes = 1024 * 1024;

    private readonly NodeStorage _storage;
    private readonly string _clusterId;
    private readonly ILogger _log;
    private readonly Lock _gate = new();
    private readonly Lock _file = new();
    private volatile KnownMembers _known;

    private MemberRoster(NodeStorage storage, string clusterId, KnownMembers known, ILogger log)
    {
        _storage = storage;
        _clusterId = clusterId;
        _known = known;
        _log = log;
    }

    /// <summary>Something has changed. Raised on any thread, shard loops among them: post and go.</summary>
    public event Action<KnownMembers>? Changed;

    public KnownMembers Known => _known;

    /// <summary>The catalog before this node has read any: the members, and the system keyspace as it was founded. It has no revision, so that it counts for less than whatever anybody has read.</summary>
    public ClusterCatalog Initial => new()
    {
        ClusterId = _clusterId,
        Members = _known.Members,
        Removed = _known.Removed,
        Keyspaces = [new CatalogKeyspace(0, ClusterCatalog.SystemKeyspaceName, new KeyspaceMode(PartitionChoice.Cp, Core.Policy.Replication.Sync), new Epoch(1), [_known.Founders])],
    };

    /// <summary>What the data directory says; null if it doesn't.</summary>
    /// <exception cref="NodeFailureException">It is damaged.</exception>
    public static MemberRoster? Read(NodeStorage storage, string clusterId, IReadOnlyList<PeerAddress> flags, ILogger log)
    {
        if (storage.ReadNote(FileName, MaxBytes) is not { } bytes)
        {
            return null;
        }

        try
        {
            Membership wire = Membership.Parser.ParseFrom(bytes);
            if (wire is { Format: Format, Founders.Count: > 0 } && wire.ClusterId == clusterId)
            {
                return new MemberRoster(storage, clusterId, Readdressed(FromWire(wire), flags), log);
            }
        }
        catch (InvalidProtocolBufferException)
        {
            // Said below.
        }

        throw new NodeFailureException(ExitCodes.DataDirectory, $"The file {FileName} in the data directory is damaged or another cluster's: restore it, or replace this node ('kv member replace') with an empty data directory.");
    }

    /// <summary>For a data directory that doesn't say: what the flags or another member say, kept from now on.</summary>
    public static MemberRoster Begin(NodeStorage storage, string clusterId, KnownMembers known, ILogger log)
    {
        var roster = new MemberRoster(storage, clusterId, known, log);
        storage.WriteNote(FileName, roster.ToWire().ToByteArray());
        return roster;
    }

    /// <summary>What the flags of a founding node say.</summary>
    public static KnownMembers Founding(IEnumerable<PeerAddress> members)
    {
        ClusterCatalog initial = ClusterCatalog.Initial("", members.Select(member => new CatalogMember(member.Node, member.Address, 1)));
        return new KnownMembers(0, initial.Members, [], initial.Keyspaces[0].Founders[0]);
    }

    public static KnownMembers FromWire(Membership wire) => new(
        wire.Revision,
        [.. wire.Members.Select(CatalogCodec.FromWire)],
        [.. wire.RemovedNodes.Select(node => new NodeId(node))],
        [.. wire.Founders.Select(founder => new CatalogReplica(new NodeId(founder.Node), new ReplicaId(founder.ReplicaId)))]);

    /// <summary>As long as nobody has written a catalog, the flags may say other addresses than at the first start. They don't say who founded the cluster any more.</summary>
    private static KnownMembers Readdressed(KnownMembers known, IReadOnlyList<PeerAddress> flags) => known.Revision > 0 ? known : known with
    {
        Members = [.. known.Members.Select(member => flags.FirstOrDefault(flag => flag.Node == member.Node) is { Node.IsNone: false } said ? member with { Address = said.Address } : member)],
    };

    public static KnownMembers Of(ClusterCatalog catalog) => new(catalog.Revision, catalog.Members, catalog.Removed, catalog.Keyspaces.First(keyspace => keyspace.Id == 0).Founders[0]);

    public static Membership ToWire(string clusterId, KnownMembers known)
    {
        var wire = new Membership { Format = Format, ClusterId = clusterId, Revision = known.Revision };
        wire.Members.AddRange(known.Members.Select(CatalogCodec.ToWire));
        wire.RemovedNodes.AddRange(known.Removed.Select(node => node.Value));
        wire.Founders.AddRange(known.Founders.Select(founder => new Replica { Node = founder.Node.Value, ReplicaId = founder.Replica.Value }));
        return wire;
    }

    public Membership ToWire() => ToWire(_clusterId, _known);

    public bool WasRemoved(NodeId node) => _known.Removed.Contains(node);

    /// <summary>A list of members was heard of. An older one changes nothing.</summary>
    /// <returns>Whether it is news.</returns>
    public bool Learn(KnownMembers heard)
    {
        lock (_gate)
        {
            if (heard.Revision < _known.Revision || heard.IsSameAs(_known))
            {
                return false;
            }

            _known = heard;
        }

        Changed?.Invoke(heard);
        _ = Task.Run(Keep);
        return true;
    }

    /// <summary>The newest one, whoever comes first.</summary>
    private void Keep()
    {
        try
        {
            lock (_file)
            {
                _storage.WriteNote(FileName, ToWire().ToByteArray());
            }
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            CatalogLog.MembersUnkept(_log, failure);
        }
    }
}
