using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>
/// The operators' face. It speaks the messages of admin.proto themselves, so that whatever the nodes learn to say can be read without a new client. Calls that name no node go to any that answers.
/// Every call has the client's default timeout unless told otherwise.
/// </summary>
public interface IKvAdmin
{
    /// <summary>Creates a keyspace; repeating it with the same settings returns the existing one.</summary>
    /// <exception cref="KvException">Contradictory settings, a name that exists with other settings, or no quorum.</exception>
    ValueTask<Keyspace> CreateKeyspaceAsync(KvKeyspaceSettings settings, CancellationToken cancellationToken = default);

    /// <summary>All keyspaces.</summary>
    ValueTask<IReadOnlyList<Keyspace>> ListKeyspacesAsync(CancellationToken cancellationToken = default);

    /// <summary>A keyspace and the replicas of it that live on one node.</summary>
    /// <param name="name">The keyspace.</param>
    /// <param name="node">The node to ask; 0: any.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    ValueTask<KeyspaceDescription> DescribeKeyspaceAsync(string name, uint node = 0, CancellationToken cancellationToken = default);

    /// <summary>
    /// Sets other settings for a keyspace that is in use. Answers when that is decided, which needs a majority of the cluster; the shards follow by themselves:
    /// <see cref="KvAlterationExtensions.WaitForAlterationAsync"/> waits for them. Repeating it changes nothing.
    /// </summary>
    /// <param name="name">The keyspace.</param>
    /// <param name="change">What is to be altered.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">Contradictory or unknown settings, an unknown keyspace, or no quorum.</exception>
    ValueTask<AlterKeyspaceResponse> AlterKeyspaceAsync(string name, KvKeyspaceChange change, CancellationToken cancellationToken = default);

    /// <summary>
    /// Deletes a keyspace with all its data, for good. Answers when that is decided, which needs a majority of the cluster; every node then destroys its replicas by itself, one that is down when it is back. What is
    /// under way in the keyspace ends as not done or unknown. A keyspace that is created under the name later is another one, and begins empty.
    /// </summary>
    /// <param name="name">The keyspace.</param>
    /// <param name="id">Only if it has this id (<see cref="KvKeyspaceInfo.Id"/>): then repeating the call is harmless, whatever was created since. 0: whichever has the name.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">An unknown keyspace, another id, the system's keyspace, or no quorum.</exception>
    ValueTask<DeleteKeyspaceResponse> DeleteKeyspaceAsync(string name, uint id = 0, CancellationToken cancellationToken = default);

    /// <summary>How far the shards of a keyspace are on the way to its settings, and which replicas have not heard of them.</summary>
    ValueTask<KeyspaceProgress> AlterProgressAsync(string name, CancellationToken cancellationToken = default);

    /// <summary>What a node sees: itself, its peers and, if wanted, its replicas.</summary>
    /// <param name="node">The node to ask; 0: any.</param>
    /// <param name="replicas">Also list every replica.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    ValueTask<NodeStatusResponse> NodeStatusAsync(uint node, bool replicas = false, CancellationToken cancellationToken = default);

    /// <summary>
    /// A node's data is lost: another one shall take its place under the same id, with an empty data directory and the generation that is returned ("--generation"). Refused while the node is up. The shards
    /// take the newcomer in by themselves; what only the lost node had is gone.
    /// </summary>
    /// <param name="node">The node whose data is lost.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    ValueTask<ReplaceNodeResponse> ReplaceNodeAsync(uint node, CancellationToken cancellationToken = default);

    /// <summary>
    /// Takes a new node into the cluster, under an id that no member ever had. Answers when that is decided; start the node then with "--join" and the address of any member. The cluster does the rest by itself: it gets its share
    /// of the shards, and counts as joining (<see cref="KvMember.State"/>) until it has it. Repeating the call with the same address changes nothing.
    /// </summary>
    /// <param name="node">Its id, 1 to 65535.</param>
    /// <param name="address">Where clients and the other members will reach it, "host:port".</param>
    /// <param name="weight">Its share of the shards, relative to others.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">The id or the address is or was in use, or there is no quorum.</exception>
    ValueTask<AddMemberResponse> AddMemberAsync(uint node, string address, double weight = 1, CancellationToken cancellationToken = default);

    /// <summary>
    /// Lets a member go, whether it is up or not. Answers when that is decided; its shards then move to other members by themselves, and when it has none left it is a member no more (it is gone from
    /// <see cref="KvTopology.Members"/>). Its id is never used again. Repeating the call changes nothing.
    /// </summary>
    /// <param name="node">The member.</param>
    /// <param name="force">Also if keyspaces are left with fewer replicas than they have now.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">It is no member, it is the last one, too few of the others are up, or keyspaces would have fewer replicas.</exception>
    ValueTask<RemoveMemberResponse> RemoveMemberAsync(uint node, bool force = false, CancellationToken cancellationToken = default);

    /// <summary>
    /// Hands the leadership of one shard to the replica on another node, and waits until that one leads or the time is nearly over: look at the outcome. Not done: nothing was begun, or another node was
    /// elected. Unknown: it was begun and may yet happen. While it is handed over, for some milliseconds, writes to the shard wait. An open shard (ap) has a leader too, but reads and writes don't go through it.
    /// </summary>
    /// <param name="keyspace">The keyspace.</param>
    /// <param name="shard">The number of the shard, from 0.</param>
    /// <param name="node">The node that shall lead; it must have a replica of the shard.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="KvException">There is no such keyspace or shard, or the node has no replica of it.</exception>
    ValueTask<TransferLeaderResponse> TransferLeaderAsync(string keyspace, int shard, uint node, CancellationToken cancellationToken = default);

    /// <summary>The writes of an async or best-effort cp keyspace that were acknowledged and then lost in a failover, as far as their nodes can be reached.</summary>
    /// <param name="name">The keyspace.</param>
    /// <param name="clear">Records to forget first, as an earlier call has shown them. Null: none.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    ValueTask<LostWritesResponse> LostWritesAsync(string name, IEnumerable<LostWrite>? clear = null, CancellationToken cancellationToken = default);

    /// <summary>Replaces the faults on the links between a node and the given peers. Only on nodes that run with fault injection enabled.</summary>
    ValueTask<IReadOnlyList<LinkFault>> SetFaultsAsync(uint node, IEnumerable<LinkFault> links, CancellationToken cancellationToken = default);

    /// <summary>Removes all faults of a node.</summary>
    ValueTask<IReadOnlyList<LinkFault>> HealFaultsAsync(uint node, CancellationToken cancellationToken = default);

    /// <summary>The faults of a node.</summary>
    ValueTask<IReadOnlyList<LinkFault>> ListFaultsAsync(uint node, CancellationToken cancellationToken = default);

    /// <summary>The cluster as last heard; waits for the first contact.</summary>
    ValueTask<KvTopology> GetTopologyAsync(CancellationToken cancellationToken = default);
}

/// <summary>What a new keyspace is to be.</summary>
public sealed record KvKeyspaceSettings
{
    /// <summary>1 to 64 of a-z, 0-9, '-', '_', '.'; begins with a letter.</summary>
    public required string Name { get; init; }

    /// <summary>Who serves when the network breaks.</summary>
    public PartitionPolicy Policy { get; init; } = PartitionPolicy.Cp;

    /// <summary>When a write is acknowledged.</summary>
    public Replication Replication { get; init; } = Replication.Sync;

    /// <summary>1 to 1,024; 0: 8.</summary>
    public int Shards { get; init; }

    /// <summary>Replicas per shard, 1 to 9; 0: the smaller of 3 and the number of members.</summary>
    public int Replicas { get; init; }

    /// <summary>Where the data lives; in memory only in ap keyspaces.</summary>
    public Durability Durability { get; init; } = Durability.Disk;

    /// <summary>Durability memory: bytes that one copy may take, over all shards; at least 2 MiB a shard. 0: 256 MiB.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>What is shown of concurrent values; last-writer-wins in ap keyspaces only.</summary>
    public Conflicts Conflicts { get; init; } = Conflicts.Siblings;

    /// <summary>async and best-effort: bytes that a leader may have acknowledged and not yet committed, 1 to 32 MiB. 0: 1 MiB.</summary>
    public int MaxLagBytes { get; init; }

    /// <summary>async and best-effort: how long the oldest of them may wait for its commit before writes are acknowledged at commit, 1 ms to 60 s. Zero: 1 s.</summary>
    public TimeSpan MaxLagTime { get; init; }

    /// <summary>adaptive: after how long without a leader a replica serves provisionally, 1 s to 1 h. Zero: 2 s.</summary>
    public TimeSpan ProvisionalAfter { get; init; }

    /// <summary>How long values live that are written without a time to live, 1 ms to 10 years. Null: for ever.</summary>
    public TimeSpan? DefaultTtl { get; init; }

    /// <summary>The level of reads that state none. cp: linearizable (the default), session or eventual; ap: eventual (the default), session or quorum.</summary>
    public KvReadLevel DefaultReadLevel { get; init; }
}
