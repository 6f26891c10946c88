using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Client;

namespace KvStore.Cli.Bench.Growth;

/// <summary>Puts and gets of so many keys that they are made when they are used: an array of ten million would be the generator's burden and not the store's.</summary>
internal sealed class GrowthLoad(IKvKeyspace keyspace, int keys)
{
    private const int ValueBytes = 100;

    private static readonly KvReadOptions Read = new();

    private static readonly KvWriteOptions Write = new();

    private readonly ReadOnlyMemory<byte> _value = RandomValue();
    private int _loaded = -1;

    /// <summary>Writes the next key that was not written yet. What is refused or unknown ends the load.</summary>
    public async ValueTask<LoadOutcome> LoadAsync(int worker, ulong random)
    {
        await keyspace.PutAsync(Key(Interlocked.Increment(ref _loaded)), _value, Write);
        return LoadOutcome.Done;
    }

    public async ValueTask<LoadOutcome> PutAsync(int worker, ulong random)
    {
        try
        {
            await keyspace.PutAsync(Key((int)(random % (ulong)keys)), _value, Write);
            return LoadOutcome.Done;
        }
        catch (KvException exception)
        {
            return exception.OutcomeUnknown ? LoadOutcome.Unknown(exception.Code.ToString()) : LoadOutcome.Failed(exception.Code.ToString());
        }
    }

    /// <summary>Every key is there: one that is not is a failure.</summary>
    public async ValueTask<LoadOutcome> GetAsync(int worker, ulong random)
    {
        try
        {
            return await keyspace.GetAsync<ReadOnlyMemory<byte>>(Key((int)(random % (ulong)keys)), Read) is null ? LoadOutcome.Failed("not found") : LoadOutcome.Done;
        }
        catch (KvException exception)
        {
            return LoadOutcome.Failed(exception.Code.ToString());
        }
    }

    private static KvKey Key(int number)
    {
        var key = new byte[16];
        "bench-"u8.CopyTo(key);
        number.TryFormat(key.AsSpan(6), out _, "D10", CultureInfo.InvariantCulture);
        return key;
    }

    private static byte[] RandomValue()
    {
        var value = new byte[ValueBytes];
        new Random(ValueBytes).NextBytes(value);
        return value;
    }
}
