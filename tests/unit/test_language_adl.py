"""ADL means what it means to ARC's clients; what the tower cannot do as asked is refused, with the line and a hint."""

from __future__ import annotations

from typing import Any

import pytest

from act.errors import BadJobSpec
from act.interfaces import plugin
from act.model import InputFile, JobSpec, OutputFile
from act_arc.language.adl import language as adl

NAMESPACES = 'xmlns="http://www.eu-emi.eu/es/2010/12/adl" xmlns:arc="http://www.nordugrid.org/es/2011/12/nordugrid-adl"'
NOTHING = JobSpec(name="true", executable="/bin/true", log_dir="")
PROGRAM = "<Executable><Path>/bin/true</Path></Executable>"


def document(*, application: str = PROGRAM, resources: str = "", staging: str = "", identification: str = "") -> str:
    parts = {
        "ActivityIdentification": identification, "Application": application, "Resources": resources,
        "DataStaging": staging,
    }  # fmt: skip
    inside = "\n".join(f"<{name}>{text}</{name}>" for name, text in parts.items() if text)
    return f"<ActivityDescription {NAMESPACES}>\n{inside}\n</ActivityDescription>"


def refusal(text: str) -> str:
    with pytest.raises(BadJobSpec) as caught:
        adl(text)
    return str(caught.value)


APPLICATION: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("<Input>in</Input>", {"stdin": "in", "inputs": (InputFile("in", source="in"),)}),
    ("<Output>o</Output><Error>e</Error>", {"stdout": "o", "stderr": "e"}),
    ("<Output>o</Output><Error>o</Error>", {"stdout": "o"}),
    ("<Environment><Name>A</Name><Value> b </Value></Environment><Environment><Name>C</Name></Environment>",
     {"environment": (("A", " b "), ("C", ""))}),
    ("<arc:LoggingDirectory>log/</arc:LoggingDirectory>", {"log_dir": "log"}),
    ("<LoggingDirectory>log</LoggingDirectory>", {"log_dir": "log"}),
    ("<arc:Rerun>2</arc:Rerun><arc:Priority>70</arc:Priority>", {"reruns": 2, "priority": 70}),
    ("<WipeTime>600</WipeTime>", {"extra": {"lifetime": "600"}}),
    ("<WipeTime optional='true'>P1DT1S</WipeTime>", {"extra": {"lifetime": "86401"}}),
    ("<arc:StartTime>20261224180000Z</arc:StartTime>", {"extra": {"starttime": "20261224180000Z"}}),
    ("<arc:AccessControl>&lt;a/&gt;</arc:AccessControl>", {"extra": {"acl": "<a/>"}}),
    ("<arc:AccessControl><![CDATA[<a>\n</a>]]></arc:AccessControl>", {"extra": {"acl": "<a> </a>"}}),
    ("<arc:DryRun>false</arc:DryRun>", {}),
    ("<Notification><Protocol>email</Protocol><Recipient>a@b.c</Recipient><Recipient>d@e.f</Recipient></Notification>",
     {"extra": {"notify": "a@b.c d@e.f"}}),
    ("<Notification><Protocol>email</Protocol><Recipient>a@b.c</Recipient><OnState>TERMINAL</OnState></Notification>",
     {"extra": {"notify": "e a@b.c"}}),
    ("<RemoteLogging><ServiceType>SGAS</ServiceType><URL>https://h/x</URL></RemoteLogging>",
     {"extra": {"jobreport": "https://h/x"}}),
]  # fmt: skip
RESOURCES: list[tuple[str, dict[str, Any]]] = [
    ("<SlotRequirement><NumberOfSlots>4</NumberOfSlots></SlotRequirement>",
     {"cores": 4, "single_node": False, "memory_mb_total": 4000}),
    ("<SlotRequirement><SlotsPerHost useNumberOfSlots='true'>0</SlotsPerHost><NumberOfSlots>4</NumberOfSlots>"
     "<ExclusiveExecution>true</ExclusiveExecution></SlotRequirement>",
     {"cores": 4, "memory_mb_total": 4000, "extra": {"exclusiveexecution": "yes"}}),
    ("<SlotRequirement><NumberOfSlots>4</NumberOfSlots><SlotsPerHost>2</SlotsPerHost></SlotRequirement>",
     {"cores": 4, "single_node": False, "memory_mb_total": 4000, "extra": {"countpernode": "2"}}),
    ("<IndividualPhysicalMemory>2147483648</IndividualPhysicalMemory>", {"memory_mb_total": 2048}),
    ("<IndividualPhysicalMemory>1048577</IndividualPhysicalMemory>", {"memory_mb_total": 2}),
    ("<DiskSpaceRequirement>1048576</DiskSpaceRequirement>", {"disk_mb": 1}),
    ("<WallTime>7200</WallTime>", {"walltime_s": 7200}),
    ("<TotalCPUTime>7200</TotalCPUTime>", {"cputime_s": 7200, "walltime_s": 7200}),
    ("<SlotRequirement><NumberOfSlots>2</NumberOfSlots></SlotRequirement><IndividualCPUTime>60</IndividualCPUTime>",
     {"cores": 2, "single_node": False, "memory_mb_total": 2000, "cputime_s": 120, "walltime_s": 60}),
    ("<RuntimeEnvironment><Name>ENV/PROXY</Name></RuntimeEnvironment>"
     "<RuntimeEnvironment><Name>APPS/X</Name><Version>1.0</Version></RuntimeEnvironment>",
     {"runtime_environments": ("ENV/PROXY", "APPS/X-1.0")}),
    ("<NodeAccess>inbound</NodeAccess><Platform>amd64</Platform>",
     {"extra": {"nodeaccess": "inbound", "architecture": "amd64"}}),
    ("<OperatingSystem><Name>centos</Name><Family>linux</Family><Version>9</Version></OperatingSystem>",
     {"extra": {"opsys": "linux-centos-9"}}),
    ("<RemoteSessionAccess>false</RemoteSessionAccess>", {}),
]  # fmt: skip
STAGING: list[tuple[str, dict[str, Any]]] = [
    ("<InputFile><Name>a</Name></InputFile>", {"inputs": (InputFile("a", source="a"),)}),
    ("<InputFile><Name>a</Name><Source><URI>file:///x y</URI></Source><IsExecutable>true</IsExecutable></InputFile>",
     {"inputs": (InputFile("a", source="/x y", executable=True),)}),
    ("<InputFile><Name>a</Name><Source><URI>rucio://h/x</URI><Option><Name>cache</Name><Value>no</Value></Option>"
     "</Source></InputFile>", {"inputs": (InputFile("a", source="rucio://h/x", options=(("cache", "no"),)),)}),
    ("<OutputFile><Name>a</Name></OutputFile><OutputFile><Name>/</Name></OutputFile>",
     {"outputs": (OutputFile("a"), OutputFile("/")), "fetch": ("a", "/")}),
    ("<OutputFile><Name>a</Name><Target><URI>https://h/x</URI><CreationFlag>overwrite</CreationFlag><Mandatory>true"
     "</Mandatory><UseIfFailure>false</UseIfFailure></Target><Target><URI>https://i/x</URI></Target></OutputFile>",
     {"outputs": (OutputFile("a", "https://h;overwrite=yes/x"), OutputFile("a", "https://i/x"))}),
    ("<ClientDataPush>false</ClientDataPush>", {}),
]  # fmt: skip
IDENTIFICATION: list[tuple[str, dict[str, Any]]] = [
    ("<Name>my job</Name><Description>x</Description><Type>single</Type><Annotation>a</Annotation>"
     "<Annotation>b</Annotation><arc:ActivityOldID>c</arc:ActivityOldID>", {"name": "my job"}),
]  # fmt: skip
MEANINGS = [
    *((document(application=PROGRAM + text), fields) for text, fields in APPLICATION),
    *((document(resources=text), fields) for text, fields in RESOURCES),
    *((document(staging=text), fields) for text, fields in STAGING),
    *((document(identification=text), fields) for text, fields in IDENTIFICATION),
]


@pytest.mark.parametrize(("text", "fields"), MEANINGS)
def test_elements_mean_what_the_specification_says(text: str, fields: dict[str, Any]) -> None:
    [job] = adl(text)
    told = {f: getattr(job, f) for f in JobSpec.__slots__ if getattr(job, f) != getattr(NOTHING, f)}
    assert told == fields
    assert adl(adl.write(job)) == [job]


def test_arguments_are_taken_to_the_letter() -> None:
    arguments = "<Argument> a  b </Argument><Argument/><Argument>&lt;&amp;<!-- no -->\u00e9</Argument>"
    [job] = adl(document(application=PROGRAM.replace("</Path>", f"</Path>{arguments}")))
    assert job.arguments == (" a  b ", "", "<&\u00e9")


def test_the_program_of_an_author_is_an_input() -> None:
    [job] = adl(document(application="<Executable><Path>run.sh</Path></Executable>"))
    assert (job.name, job.inputs) == ("run.sh", (InputFile("run.sh", source="run.sh", executable=True),))


def test_one_document_may_describe_several_jobs() -> None:
    jobs = document() + document(application=PROGRAM + "<arc:Rerun>1</arc:Rerun>")
    assert [job.reruns for job in adl(f"<ActivityDescriptions {NAMESPACES}>{jobs}</ActivityDescriptions>")] == [0, 1]


def test_a_declaration_and_a_prefix_are_as_good() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\n' + document(identification="<Name>\u00e9</Name>")
    assert adl(text)[0].name == "\u00e9"
    prefixed = document().replace('xmlns="', 'xmlns:x="')
    for name in ("ActivityDescription", "Application", "Executable", "Path"):
        prefixed = prefixed.replace(f"<{name}", f"<x:{name}").replace(f"</{name}", f"</x:{name}")
    assert adl(prefixed) == [NOTHING]


REFUSED = [
    (document(application=PROGRAM + "<Inptu>a</Inptu>"), "Application has no 'Inptu'; did you mean 'Input'?"),
    (document(application=PROGRAM + PROGRAM), "Executable is given twice in Application"),
    (document(application=PROGRAM + "<PreExecutable><Path>a</Path></PreExecutable>"), "put it into your script"),
    (document(application=PROGRAM + "<arc:DryRun>true</arc:DryRun>"), "no dry runs"),
    (document(application=PROGRAM + "<arc:CredentialService>https://h/x</arc:CredentialService>"), "renews"),
    (document(application=PROGRAM + "<ExpirationTime>2026-01-01T00:00:00Z</ExpirationTime>"), "leave it out"),
    (document(application=PROGRAM + "<WipeTime>2026-01-01T00:00:00Z</WipeTime>"), "lifetime is"),
    (document(application=PROGRAM + "<Output><a/></Output>"), "holds a text"),
    (document(application=PROGRAM + "text"), "text that belongs to none"),
    (document(application=PROGRAM + "<x xmlns='urn:x'/>"), "of the namespace urn:x"),
    (document(application=PROGRAM + "<x xmlns=''/>"), "of the namespace of no name"),
    (document(application=PROGRAM.replace("<Path>", "<Path id='1'>")), "Path has no attribute"),
    (document(application="<Executable id='1'><Path>/a</Path></Executable>"), "Executable has no attribute 'id'"),
    (document(application=PROGRAM.replace("</Exec", "<FailIfExitCodeNotEqualTo>3</FailIfExitCodeNotEqualTo></Exec")),
     "ends with 0"),
    (document(application=PROGRAM + "<Environment><Name>1</Name></Environment>"), "not the name of an environment"),
    (document(application=PROGRAM + "<Notification><Protocol>sms</Protocol></Notification>"), "only email"),
    (document(application=PROGRAM + "<Notification><OnState>ACCEPTED</OnState></Notification>"), "PREPROCESSING"),
    (document(application=PROGRAM + "<Notification><Protocol>email</Protocol></Notification>"), "be me@example.org"),
    (document(application="<Input>a</Input>"), "the job has no executable"),
    (document(resources="<QueueName>long</QueueName>"), "--ce"),
    (document(resources="<Coprocessor>CUDA</Coprocessor>"), "Coprocessor is not possible here"),
    (document(resources="<NodeAccess>inoutbound</NodeAccess>"), "inbound or outbound"),
    (document(resources="<WallTime>PT2H</WallTime>"), "WallTime is 'PT2H'; it must be a whole number"),
    (document(resources="<IndividualPhysicalMemory>0</IndividualPhysicalMemory>"), "(bytes)"),
    (document(resources="<RemoteSessionAccess>true</RemoteSessionAccess>"), "brings you the files"),
    (document(resources="<RemoteSessionAccess>perhaps</RemoteSessionAccess>"), "must be true or false"),
    (document(resources="<RuntimeEnvironment optional='true'><Name>A</Name></RuntimeEnvironment>"), "optional"),
    (document(resources="<RuntimeEnvironment/>"), "needs a Name"),
    (document(resources="<RuntimeEnvironment><Name>A</Name><Option>b</Option></RuntimeEnvironment>"), "options are"),
    (document(resources="<SlotRequirement><NumberOfSlots>4</NumberOfSlots><SlotsPerHost>3</SlotsPerHost>"
              "</SlotRequirement>"), "4 slots cannot be on nodes with 3 each"),
    (document(staging="<InputFile/>"), "the InputFile has no Name"),
    (document(staging="<InputFile><Name>../a</Name></InputFile>"), "leads out"),
    (document(staging="<InputFile><Name>a</Name><Source/></InputFile>"), "the Source has no URI"),
    (document(staging="<InputFile><Name>a</Name><Source><URI>a</URI></Source><Source><URI>b</URI></Source></InputFile>"),
     "Source is given twice"),
    (document(staging="<InputFile><Name>a</Name><Source><URI>a</URI><DelegationID>1</DelegationID></Source></InputFile>"),
     "between the tower and the CE"),
    (document(staging="<DelegationID>1</DelegationID>"), "between the tower and the CE"),
    (document(staging="<ClientDataPush>true</ClientDataPush>"), "can only be false"),
    (document(staging="<OutputFile><Name>a</Name><Target><URI>x</URI></Target></OutputFile>"), "leave it empty"),
    (document(staging="<OutputFile><Name>a</Name><Target><URI>https://h/x</URI><Mandatory>false</Mandatory></Target>"
              "</OutputFile>"), "Mandatory can only be true"),
    (document(staging="<OutputFile><Name>a</Name><Target><URI>https://h/x</URI><CreationFlag>append</CreationFlag>"
              "</Target></OutputFile>"), "overwrite or dontOverwrite"),
    (document(identification="<Type>workflownode</Type>"), "only single jobs"),
    (document(identification="<Name>a\nb</Name>"), "'\\n' in it"),
    ("", "this is no XML"),
    ("&(executable=a)", "this is no XML"),
    ("<a/>", "needs xmlns="),
    (f"<Activity {NAMESPACES}/>", "must be ActivityDescription"),
    (f"<ActivityDescriptions {NAMESPACES}/>", "from 1 to"),
    (f"<ActivityDescriptions {NAMESPACES}><Job/></ActivityDescriptions>", "'Job' among the jobs"),
    ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + document(identification="<Name>&b;</Name>"),
     "a document type is not allowed"),
    (document(identification="<Name>&b;</Name>"), "Entity 'b' not defined"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_is_refused_with_a_hint(text: str, message: str) -> None:
    said = refusal(text)
    assert message in said
    assert said.startswith("line ")


def test_the_error_shows_the_line() -> None:
    said = refusal(document(resources="\n  <WallTime>1</WallTime>\n  <WalTime>2</WalTime>\n"))
    assert said.splitlines() == [
        "line 5, column 3: Resources has no 'WalTime'; did you mean 'WallTime'?",
        "    <WalTime>2</WalTime>",
        "    ^",
    ]


def test_what_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(BadJobSpec, match="cannot be written as XML"):
        adl.write(JobSpec(name="\ufffe\x01", executable="/bin/true", log_dir=""))


def test_it_is_found_by_its_name_and_is_for_arc_only() -> None:
    assert plugin("act.description", "adl") is adl
    assert adl.flavour == "arc"
