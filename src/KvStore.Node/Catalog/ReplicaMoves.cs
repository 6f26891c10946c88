using System.Collections.Concurrent;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;

namespace KvStore.Node.Catalog;

/// <summary>
/// Opens the replicas that the catalog places on this node, and destroys those that it places here no more. Where one under another id was here before, that one is destroyed first, durably. Called on the system shard's loop; what
/// needs a file goes on beside it, one thing after another.
/// </summary>
internal sealed class ReplicaMoves(LoopSet loops, uint generation, Func<int> seed, ILogger log)
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(10);

    private readonly HeldReplicas _held = new(loops.Storage);
    private readonly HashSet<ShardId> _recovered = [.. loops.Storage.RecoveredShards.Where(shard => shard.Keyspace > 0)];
    private readonly Dictionary<ShardId, ReplicaId> _here = [];

    /// <summary>Replicas that are opened as soon as what was here before is gone, with their newest settings.</summary>
    private readonly ConcurrentDictionary<ShardId, ShardDescriptor> _pending = new();
    private Task _last = Task.CompletedTask;

    /// <summary>Shards other than the system's of which this node may have something: from the last process, or opened since.</summary>
    public IEnumerable<ShardId> Shards => _recovered.Union(_here.Keys).ToList();

    /// <summary>The replica of this node is to be there, with these settings.</summary>
    public void Place(ShardDescriptor descriptor)
    {
        ShardId shard = descriptor.Shard;
        ReplicaId own = descriptor.Self.Replica;
        if (shard.Keyspace == 0 || _here.GetValueOrDefault(shard) == own)
        {
            if (_pending.TryGetValue(shard, out ShardDescriptor? pending) && _pending.TryUpdate(shard, descriptor, pending))
            {
                return;
            }

            Open(descriptor);
            return;
        }

        HeldReplicas.Held noted = _held.Of(shard);
        ReplicaId before = _here.TryGetValue(shard, out ReplicaId opened) ? opened : BeforeThisProcess(descriptor, noted);
        if (before.CompareTo(own) > 0 || noted.Replica.CompareTo(own) > 0 || (noted.IsGone && noted.Replica == own))
        {
            // An older catalog, as after a restart: a newer one is or was here, or this one was destroyed. With its log and its vote gone it must not come back.
            return;
        }

        _here[shard] = own;
        bool isSuccessor = !before.IsNone && before != own;
        if (!isSuccessor && (descriptor.IsFounder || noted.Replica == own))
        {
            Open(descriptor);
            return;
        }

        _pending[shard] = descriptor;
        Enqueue(() => SucceedAsync(shard, own, isSuccessor ? before : default));
    }

    /// <summary>The keyspace was deleted: nobody will ask for the replica again.</summary>
    public void Destroy(ShardId shard)
    {
        _recovered.Remove(shard);
        _here.Remove(shard);
        HeldReplicas.Held noted = _held.Of(shard);
        if (!_pending.ContainsKey(shard) && (noted.Replica.IsNone || noted.IsGone))
        {
            loops.LoopOf(shard).Post(on => on.Destroy(shard));
        }
        else
        {
            Enqueue(() => DestroyAsync(shard, _held.Of(shard).Replica, isDeleted: true));
        }
    }

    /// <summary>
    /// The catalog places no replica of the shard here, and everything has settled. Ids are given out in order and never placed again once they are not: so one that this catalog must know, and doesn't place, is gone for good. That also holds
    /// of an older catalog.
    /// </summary>
    public void Unplace(CatalogKeyspace keyspace, ShardId shard, ulong nextReplicaId)
    {
        HeldReplicas.Held noted = _held.Of(shard);
        ReplicaId here = _here.TryGetValue(shard, out ReplicaId opened) ? opened : noted.IsGone ? default : !noted.Replica.IsNone ? noted.Replica : FounderHere(keyspace.Founders[shard.Number].Select(founder => founder.ToPlace()));
        if (here.IsNone || here.Value >= nextReplicaId)
        {
            return;
        }

        _recovered.Remove(shard);
        _here.Remove(shard);
        CatalogLog.ReplicaMovedAway(log, shard, here);
        Enqueue(() => DestroyAsync(shard, here, isDeleted: false));
    }

    private ReplicaId BeforeThisProcess(ShardDescriptor descriptor, HeldReplicas.Held noted) =>
        !_recovered.Contains(descriptor.Shard) ? default
        : noted.Replica.IsNone ? FounderHere(descriptor.Founders)
        : noted.Replica;

    /// <summary>Where nothing was noted: what is here is the founder's. A node that replaced another one has nothing of a founder's.</summary>
    private ReplicaId FounderHere(IEnumerable<ReplicaPlace> founders) => generation > 0 ? default : founders.FirstOrDefault(founder => founder.Node == loops.Self).Replica;

    private void Open(ShardDescriptor descriptor)
    {
        var random = new Random(seed());
        HeldReplicas.Held noted = _held.Of(descriptor.Shard);
        bool isAnew = noted.Replica == descriptor.Self.Replica && !noted.IsGone;
        loops.LoopOf(descriptor.Shard).Post(on => on.Open(descriptor, random, isAnew));
    }

    private async Task SucceedAsync(ShardId shard, ReplicaId own, ReplicaId before)
    {
        if (!before.IsNone)
        {
            CatalogLog.ReplicaMovedAway(log, shard, before);
            await DestroyAsync(shard, before, isDeleted: false);
        }

        _held.Note([(shard, own, false)]);
        if (_pending.TryRemove(shard, out ShardDescriptor? descriptor))
        {
            Open(descriptor);
        }
    }

    private async Task DestroyAsync(ShardId shard, ReplicaId replica, bool isDeleted)
    {
        ShardLoop loop = loops.LoopOf(shard);
        _held.Note([(shard, replica, true)]);
        LogPosition removed = await LoopSet.RunAsync(loop, on => on.Destroy(shard, isDeleted));
        using var look = new PeriodicTimer(Look);
        while (await LoopSet.RunAsync(loop, on => on.DurablePosition.CompareTo(removed) < 0))
        {
            await look.WaitForNextTickAsync();
        }
    }

    private void Enqueue(Func<Task> work) => _last = RunAfterAsync(_last, work);

    private async Task RunAfterAsync(Task before, Func<Task> work)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            await work();
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            // A disk that fails ends the node, and says so; what was not done is done at the next start.
            CatalogLog.ReplicaNotMoved(log, failure);
        }
    }
}
