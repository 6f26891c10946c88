using System.Globalization;
using System.Text;

namespace KvStore.Benchmarks.Compare;

/// <summary>The keys and the value that every store gets: 10,000 keys of 16 bytes, one value of 100 random bytes, so that nobody gets ahead by compressing it.</summary>
internal static class Workload
{
    public const int Keys = 10_000;

    public const int ValueBytes = 100;

    public static byte[] Key(int number) => Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"bench-{number:D10}"));

    public static byte[] Value()
    {
        byte[] value = new byte[ValueBytes];
        new Random(ValueBytes).NextBytes(value);
        return value;
    }
}
