using System.Reflection.Emit;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;

namespace KvStore.Cluster.Tests.PublicApi;

/// <summary>
/// Which members of other assemblies the tests with a real cluster use, from the compiled tests: those that a class with tests refers to, or a class without tests that it uses (a helper, a fixture), if a cluster is among
/// them. Tests against scripted nodes don't count.
/// </summary>
internal sealed class TestedMembers
{
    private static readonly string[] Clusters = ["KvStore.TestKit.KvTestCluster", "KvStore.TestKit.KvProcessCluster", "KvStore.Cluster.Tests.Processes.NodeProcess"];
    private static readonly Dictionary<short, OperandType> Operands = typeof(OpCodes).GetFields().Select(field => (OpCode)field.GetValue(null)!).ToDictionary(code => code.Value, code => code.OperandType);

    private readonly MetadataReader _reader;
    private readonly Dictionary<string, Uses> _classes = [];

    private TestedMembers(PEReader file)
    {
        _reader = file.GetMetadataReader();
        foreach (TypeDefinitionHandle handle in _reader.TypeDefinitions)
        {
            string owner = OutermostOf(SignatureText.NameOf(_reader, handle));
            Uses uses = _classes.TryGetValue(owner, out Uses? known) ? known : _classes[owner] = new Uses();
            foreach (MethodDefinition method in _reader.GetTypeDefinition(handle).GetMethods().Select(_reader.GetMethodDefinition))
            {
                uses.HasTests |= method.GetCustomAttributes().Any(IsOfATest);
                if (method.RelativeVirtualAddress != 0)
                {
                    Read(file.GetMethodBody(method.RelativeVirtualAddress).GetILReader(), uses);
                }
            }
        }
    }

    /// <summary>The signatures of all members that are used where a cluster runs.</summary>
    public static IReadOnlySet<string> In(string assembly)
    {
        TestedMembers tests = Of(assembly);
        return tests.Collect(tests.RunsACluster);
    }

    /// <summary>The signatures of all members that are used by any test: for what needs no cluster, such as checkers of histories.</summary>
    public static IReadOnlySet<string> InAnyTest(string assembly) => Of(assembly).Collect(_ => true);

    private static TestedMembers Of(string assembly)
    {
        using PEReader file = new(File.OpenRead(assembly));
        return new TestedMembers(file);
    }

    private bool RunsACluster(HashSet<string> reached) => reached.Any(type => Clusters.Contains(type) || _classes[type].Types.Overlaps(Clusters));

    /// <param name="counts">Whether a test counts that reaches these classes.</param>
    private HashSet<string> Collect(Func<HashSet<string>, bool> counts)
    {
        var used = new HashSet<string>();
        foreach (string test in _classes.Where(each => each.Value.HasTests).Select(each => each.Key))
        {
            var reached = new HashSet<string> { test };
            var waiting = new Queue<string>(reached);
            while (waiting.TryDequeue(out string? next))
            {
                foreach (string type in _classes[next].Types.Where(type => _classes.TryGetValue(type, out Uses? helper) && !helper.HasTests && reached.Add(type)))
                {
                    waiting.Enqueue(type);
                }
            }

            if (counts(reached))
            {
                used.UnionWith(reached.SelectMany(type => _classes[type].Members));
            }
        }

        return used;
    }

    /// <summary>Every token in the code. Opcodes and the sizes of their operands are those of ECMA-335, partition III.</summary>
    private void Read(BlobReader code, Uses uses)
    {
        while (code.RemainingBytes > 0)
        {
            int first = code.ReadByte();
            short opcode = first == 0xFE ? unchecked((short)(0xFE00 | code.ReadByte())) : (short)first;
            switch (Operands[opcode])
            {
                case OperandType.InlineNone:
                    break;
                case OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar:
                    code.ReadByte();
                    break;
                case OperandType.InlineVar:
                    code.ReadInt16();
                    break;
                case OperandType.InlineI8 or OperandType.InlineR:
                    code.ReadInt64();
                    break;
                case OperandType.InlineSwitch:
                    int targets = code.ReadInt32();
                    code.Offset += 4 * targets;
                    break;
                case OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType:
                    Take(MetadataTokens.EntityHandle(code.ReadInt32()), uses);
                    break;
                default:
                    code.ReadInt32();
                    break;
            }
        }
    }

    private void Take(EntityHandle token, Uses uses)
    {
        switch (token.Kind)
        {
            case HandleKind.MethodSpecification:
                Take(_reader.GetMethodSpecification((MethodSpecificationHandle)token).Method, uses);
                break;
            case HandleKind.MemberReference:
                MemberReference member = _reader.GetMemberReference((MemberReferenceHandle)token);
                string type = TypeOf(member.Parent);
                uses.Types.Add(OutermostOf(type));
                string name = _reader.GetString(member.Name);
                uses.Members.Add(member.GetKind() == MemberReferenceKind.Method ? SignatureText.Of(type, name, member.DecodeMethodSignature(SignatureText.Instance, null)) : $"{type}.{name}");
                break;
            case HandleKind.MethodDefinition:
                uses.Types.Add(OutermostOf(SignatureText.NameOf(_reader, _reader.GetMethodDefinition((MethodDefinitionHandle)token).GetDeclaringType())));
                break;
            case HandleKind.FieldDefinition:
                uses.Types.Add(OutermostOf(SignatureText.NameOf(_reader, _reader.GetFieldDefinition((FieldDefinitionHandle)token).GetDeclaringType())));
                break;
            case HandleKind.TypeDefinition or HandleKind.TypeReference or HandleKind.TypeSpecification:
                uses.Types.Add(OutermostOf(TypeOf(token)));
                break;
        }
    }

    /// <summary>Without type arguments: a member of KvEntry{string} is one of KvEntry{T}.</summary>
    private string TypeOf(EntityHandle handle)
    {
        string name = handle.Kind switch
        {
            HandleKind.TypeDefinition => SignatureText.NameOf(_reader, (TypeDefinitionHandle)handle),
            HandleKind.TypeReference => SignatureText.NameOf(_reader, (TypeReferenceHandle)handle),
            HandleKind.TypeSpecification => _reader.GetTypeSpecification((TypeSpecificationHandle)handle).DecodeSignature(SignatureText.Instance, null),
            _ => "",
        };
        int arguments = name.IndexOf('<', StringComparison.Ordinal);
        return arguments > 0 && char.IsAsciiDigit(name[arguments - 1]) ? name[..arguments] : name;
    }

    private bool IsOfATest(CustomAttributeHandle handle) => _reader.GetCustomAttribute(handle).Constructor is { Kind: HandleKind.MemberReference } constructor
        && TypeOf(_reader.GetMemberReference((MemberReferenceHandle)constructor).Parent) is "Xunit.FactAttribute" or "Xunit.TheoryAttribute";

    private static string OutermostOf(string type)
    {
        int nested = type.IndexOf('+', StringComparison.Ordinal);
        return nested < 0 ? type : type[..nested];
    }

    private sealed class Uses
    {
        public bool HasTests { get; set; }

        public HashSet<string> Types { get; } = [];

        public HashSet<string> Members { get; } = [];
    }
}
