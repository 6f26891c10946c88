using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>
/// The keys that replicas are about to look up, a few at a time: their memory is asked for first, all of it at once, since a lookup by itself waits for one line after another (<see cref="ShardReplica.Warm"/>).
/// </summary>
internal sealed class LookAhead
{
    /// <summary>Keys at a time: enough to keep the processor's requests for memory under way, few enough that the first is still in its cache when its turn comes.</summary>
    public const int Keys = 32;

    /// <summary>Fewer are not worth the detour.</summary>
    private const int Least = 3;

    private readonly ShardReplica?[] _replicas = new ShardReplica?[Keys];
    private readonly int[] _hashes = new int[Keys];
    private int _count;
    private int _seen;

    /// <summary>Of no meaning: says that what was read was used.</summary>
    public int Seen => _seen;

    /// <summary>At most <see cref="Keys"/> before the next <see cref="Run"/>.</summary>
    public void Add(ShardReplica replica, int keyHash)
    {
        _replicas[_count] = replica;
        _hashes[_count++] = keyHash;
    }

    public void Run()
    {
        if (_count >= Least)
        {
            for (WarmStep step = WarmStep.Index; step <= WarmStep.Bytes; step++)
            {
                for (int i = 0; i < _count; i++)
                {
                    _seen += _replicas[i]!.Warm(_hashes[i], step);
                }
            }
        }

        Array.Clear(_replicas, 0, _count);
        _count = 0;
    }
}
