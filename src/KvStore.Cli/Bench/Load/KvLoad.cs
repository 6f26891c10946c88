using System.Globalization;
using System.Text;
using KvStore.Client;

namespace KvStore.Cli.Bench.Load;

/// <summary>
/// Operations on a keyspace as a load. Keys, value and options exist before the first operation, so that an operation costs what the client costs and nothing else.
/// </summary>
public sealed class KvLoad
{
    private static readonly KvReadOptions DefaultRead = new();

    private static readonly KvWriteOptions DefaultWrite = new();

    private readonly IKvKeyspace _keyspace;
    private readonly KvKey[] _keys;
    private readonly ReadOnlyMemory<byte> _value;
    private readonly KvReadOptions _read;

    /// <summary>A load on a keyspace.</summary>
    /// <param name="keyspace">The keyspace.</param>
    /// <param name="keys">How many keys, of 16 bytes each.</param>
    /// <param name="valueSize">Bytes of each value.</param>
    /// <param name="level">How fresh reads must be.</param>
    public KvLoad(IKvKeyspace keyspace, int keys, int valueSize, KvReadLevel level = KvReadLevel.Default)
    {
        ArgumentNullException.ThrowIfNull(keyspace);
        ArgumentOutOfRangeException.ThrowIfLessThan(keys, 1);
        _keyspace = keyspace;
        _keys = new KvKey[keys];
        for (var key = 0; key < keys; key++)
        {
            _keys[key] = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"bench-{key:D10}"));
        }

        // Random bytes: nobody gets ahead by compressing them.
        var value = new byte[valueSize];
        new Random(valueSize).NextBytes(value);
        _value = value;
        _read = level == KvReadLevel.Default ? DefaultRead : new KvReadOptions { Level = level };
    }

    /// <summary>How many keys the load touches.</summary>
    public int Keys => _keys.Length;

    /// <summary>Reads a random key.</summary>
    public ValueTask<LoadOutcome> GetAsync(int worker, ulong random) => GetAsync(_keys[random % (ulong)_keys.Length]);

    /// <summary>Writes a random key.</summary>
    public ValueTask<LoadOutcome> PutAsync(int worker, ulong random) => PutAsync(_keys[random % (ulong)_keys.Length]);

    /// <summary>Removes a random key.</summary>
    public ValueTask<LoadOutcome> DeleteAsync(int worker, ulong random) => WriteAsync(_keyspace.DeleteAsync(_keys[random % (ulong)_keys.Length], DefaultWrite));

    /// <summary>Writes a random key with a value that expires.</summary>
    /// <param name="random">Chooses the key.</param>
    /// <param name="options">With a time to live.</param>
    public ValueTask<LoadOutcome> PutAsync(ulong random, KvWriteOptions options) => WriteAsync(_keyspace.PutAsync(_keys[random % (ulong)_keys.Length], _value, options));

    /// <summary>Reads or writes a random key, half and half.</summary>
    public ValueTask<LoadOutcome> MixedAsync(int worker, ulong random) =>
        (random >> 63) == 0 ? GetAsync(worker, random & long.MaxValue) : PutAsync(worker, random & long.MaxValue);

    /// <summary>Writes every key once, so that reads find something.</summary>
    /// <param name="concurrency">Operations in flight.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="KvException">A write was refused or is unknown.</exception>
    public async Task FillAsync(int concurrency, CancellationToken stop)
    {
        var next = -1;
        var fill = new LoadGenerator(
            new LoadPlan { Concurrency = concurrency, Operations = _keys.Length },
            async (_, _) =>
            {
                await _keyspace.PutAsync(_keys[Interlocked.Increment(ref next)], _value, DefaultWrite);
                return LoadOutcome.Done;
            });
        await fill.RunAsync(null, stop);
    }

    private async ValueTask<LoadOutcome> GetAsync(KvKey key)
    {
        try
        {
            await _keyspace.GetAsync<ReadOnlyMemory<byte>>(key, _read);
            return LoadOutcome.Done;
        }
        catch (KvException exception)
        {
            return LoadOutcome.Failed(Name(exception.Code));
        }
    }

    private ValueTask<LoadOutcome> PutAsync(KvKey key) => WriteAsync(_keyspace.PutAsync(key, _value, DefaultWrite));

    private static async ValueTask<LoadOutcome> WriteAsync(ValueTask<KvWriteResult> write)
    {
        try
        {
            await write;
            return LoadOutcome.Done;
        }
        catch (KvException exception)
        {
            return exception.OutcomeUnknown ? LoadOutcome.Unknown(Name(exception.Code)) : LoadOutcome.Failed(Name(exception.Code));
        }
    }

    private static string Name(KvCode code) => Enum.GetName(code) ?? "unnamed code";
}
