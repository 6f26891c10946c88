using System.Globalization;
using System.Text;

namespace KvStore.Client.Locks;

/// <summary>
/// What a lock's key holds: "v1 TOKEN OWNER LEASE_MS". It is never deleted, so the token only grows. An owner of "-" is nobody.
/// </summary>
internal readonly record struct LockRecord(long Token, string Owner, long LeaseMs)
{
    private const string Format = "v1";
    private const string Nobody = "-";

    public static readonly LockRecord Fresh = new(0, Nobody, 0);

    public bool IsFree => Owner == Nobody;

    public LockRecord TakenBy(string owner, TimeSpan lease) => new(Token + 1, owner, (long)lease.TotalMilliseconds);

    public LockRecord Released() => this with { Owner = Nobody };

    public byte[] Encode() => Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Format} {Token} {Owner} {LeaseMs}"));

    /// <exception cref="FormatException">The key holds something else.</exception>
    public static LockRecord Decode(ReadOnlySpan<byte> bytes)
    {
        string[] parts = Encoding.UTF8.GetString(bytes).Split(' ');
        return parts is [Format, var token, { Length: > 0 } owner, var lease]
            && long.TryParse(token, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
            && long.TryParse(lease, NumberStyles.None, CultureInfo.InvariantCulture, out long leaseMs)
                ? new LockRecord(number, owner, leaseMs)
                : throw new FormatException("The key holds something that is no lock: use a name for locks that nothing else uses.");
    }
}
