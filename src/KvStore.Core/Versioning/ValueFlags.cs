using System.Buffers;

namespace KvStore.Core.Versioning;

/// <summary>What stands in front of a value that isn't plain: one byte of flags, and when it expires. The same in ordered records and in dotted objects; one form only, so that equal values have equal bytes.</summary>
internal static class ValueFlags
{
    private const byte Counter = 0x01;
    private const byte Expires = 0x02;
    private const byte Known = Counter | Expires;

    public static int SizeOf(ulong expiresMs) => 1 + (expiresMs == 0 ? 0 : VarInt.SizeOf(expiresMs));

    public static int Write(Span<byte> target, ValueForm form, ulong expiresMs)
    {
        target[0] = (byte)((form == ValueForm.Counter ? Counter : 0) | (expiresMs == 0 ? 0 : Expires));
        return expiresMs == 0 ? 1 : 1 + VarInt.Write(target[1..], expiresMs);
    }

    public static void Write(IBufferWriter<byte> output, ValueForm form, ulong expiresMs)
        => output.Advance(Write(output.GetSpan(1 + VarInt.MaxLength), form, expiresMs));

    /// <exception cref="MalformedRecordException">No such flags.</exception>
    public static (ValueForm Form, ulong ExpiresMs) Read(ref BinaryCursor input)
    {
        byte flags = input.ReadByte();
        if ((flags & ~Known) != 0)
        {
            MalformedRecordException.Throw("a value has unknown flags");
        }

        ulong expiresMs = 0;
        if ((flags & Expires) != 0)
        {
            expiresMs = input.ReadVarInt();
            if (expiresMs is 0 or > (ulong)HybridTimestamp.MaxPhysicalMs)
            {
                MalformedRecordException.Throw("an expiry is out of range");
            }
        }

        return ((flags & Counter) != 0 ? ValueForm.Counter : ValueForm.Bytes, expiresMs);
    }
}
